"""Keeps a lease during its rebuild."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from dibs.errors import ServiceError
from dibs.steps import Call, Sleep, Steps
from dibs.v1 import coordinator_pb2 as pb

_THIRD_S_MIN = 0.005
#: What an extension may take if the lease leaves it the time. A hanging attempt must not cost the next ones.
_EXTEND_S = 2.0


#: The pause between two attempts after the lease's time is over.
_AFTER_S = 1.0


def keep_lease(
    request: pb.ExtendRequest,
    sent_at: float,
    expires_in: float,
    hold_until: float,
    traceparent: str,
    on_over: Callable[[], None],
) -> Steps[bool]:
    """Extends a lease every third of the remaining time, so two extensions in a row may be lost.

    The lease counts from `sent_at`, when its request was sent, because its answer may have waited for this process to
    read it. But the service may also have granted it after a wait. So if less than a third is left by this count, it is
    extended at once, and that answer decides.

    Ends when the lease is void: the service says so, or it was held until `hold_until`, and the service does not know.
    Returns whether it was held so long. Calls `on_over` if no extension came in time. The service may still store the
    result then, so this continues to ask. The times are those of `time.monotonic()`.
    """
    over, answered = False, True
    came_at, ends_at = monotonic(), sent_at + expires_in
    at_once = ends_at - came_at < expires_in / 3
    if at_once:
        ends_at = max(ends_at, came_at + min(expires_in, _EXTEND_S))
    while True:
        left = ends_at - monotonic()
        # The end is reported when it comes. It is earlier here than at the service, so a first attempt after it may
        # still succeed with no time left.
        pause = _pause(left) if left > 0 else _AFTER_S if over and not answered else _THIRD_S_MIN
        if at_once:
            pause, at_once = 0.0, False
        yield Sleep(min(hold_until, monotonic() + pause))
        asked_at = monotonic()
        if asked_at >= hold_until:
            return True
        if asked_at >= ends_at:
            over = True
            on_over()
        # A hanging attempt ends with the lease, so the loss is reported then and not later.
        left = ends_at - asked_at
        answered = False
        timeout = _EXTEND_S if left <= 0 else min(_EXTEND_S, max(0.001, left))
        try:
            response: pb.ExtendResponse = yield Call("Extend", request, timeout, traceparent)
        except ServiceError as error:
            # No answer is not a loss: the lease keeps its end, and the next third brings another attempt.
            if error.code == "INVALID_ARGUMENT":
                return False
            continue
        if response.outcome == pb.EXTEND_OUTCOME_LOST:
            return False
        if response.outcome == pb.EXTEND_OUTCOME_EXTENDED:
            answered = True
            ends_at = asked_at + response.expires_in_ms / 1_000


def _pause(left: float) -> float:
    """A third of the remaining time, but no less than a few milliseconds. The end is then reported when it comes."""
    return min(left, max(_THIRD_S_MIN, left / 3))
