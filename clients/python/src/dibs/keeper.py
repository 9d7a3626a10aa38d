"""How a lease is kept while its rebuild runs."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from dibs.errors import ServiceError
from dibs.steps import Call, Sleep, Steps
from dibs.v1 import coordinator_pb2 as pb

_THIRD_S_MIN = 0.005
#: What an extension may take where the lease leaves it the time: a try that hangs must not cost the next ones.
_EXTEND_S = 2.0


#: Between two tries after the lease's time is over.
_AFTER_S = 1.0


def keep_lease(
    request: pb.ExtendRequest, ends_at: float, hold_until: float, traceparent: str, on_over: Callable[[], None]
) -> Steps[None]:
    """Extends a lease every third of what is left, so that two extensions in a row may be lost.

    Ends when the lease is void: the service says so, or it was held until `hold_until`. Calls `on_over` where no
    extension came in time: the service may still store the result, so this goes on asking. The times are those of
    `time.monotonic()`.
    """
    over, answered = False, True
    while True:
        left = ends_at - monotonic()
        # An end is told when it comes. The end here is earlier than the service's, so that a first try after it may
        # still be answered with nothing left.
        pause = _pause(left) if left > 0 else _AFTER_S if over and not answered else _THIRD_S_MIN
        yield Sleep(min(hold_until, monotonic() + pause))
        asked_at = monotonic()
        if asked_at >= hold_until:
            return
        if asked_at >= ends_at:
            over = True
            on_over()
        # A try that hangs ends with the lease, so that the loss is told then and not later.
        left = ends_at - asked_at
        answered = False
        timeout = _EXTEND_S if left <= 0 else min(_EXTEND_S, max(0.001, left))
        try:
            response: pb.ExtendResponse = yield Call("Extend", request, timeout, traceparent)
        except ServiceError as error:
            # Not answered is not lost: the lease still has its end, and the next third brings another try.
            if error.code == "INVALID_ARGUMENT":
                return
            continue
        if response.outcome == pb.EXTEND_OUTCOME_LOST:
            return
        if response.outcome == pb.EXTEND_OUTCOME_EXTENDED:
            answered = True
            ends_at = asked_at + response.expires_in_ms / 1_000


def _pause(left: float) -> float:
    """A third of what is left. Below a few milliseconds that is no time: the end is near, and is told when it comes."""
    return min(left, max(_THIRD_S_MIN, left / 3))
