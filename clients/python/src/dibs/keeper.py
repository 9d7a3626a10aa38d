"""How a lease is kept while its rebuild runs."""

from __future__ import annotations

from time import monotonic

from dibs.errors import ServiceError
from dibs.steps import Call, Sleep, Steps
from dibs.v1 import coordinator_pb2 as pb

_THIRD_S_MIN = 0.005
#: What an extension may take where the lease leaves it the time: a try that hangs must not cost the next ones.
_EXTEND_S = 2.0


def keep_lease(request: pb.ExtendRequest, ends_at: float, traceparent: str) -> Steps[None]:
    """Extends a lease every third of what is left, so that two extensions in a row may be lost.

    Ends when the lease is over: the service says so, or no extension came in time. `ends_at` is a time of
    `time.monotonic()`.
    """
    while True:
        left = ends_at - monotonic()
        # Below a few milliseconds a third is no time: the end is near, and is told when it comes.
        yield Sleep(monotonic() + max(0.0, min(left, max(_THIRD_S_MIN, left / 3))))
        asked_at = monotonic()
        if asked_at >= ends_at:
            return
        try:
            # A try that hangs ends with the lease, so that the loss is told then and not later.
            response: pb.ExtendResponse = yield Call(
                "Extend", request, min(_EXTEND_S, max(0.001, ends_at - asked_at)), traceparent
            )
        except ServiceError as error:
            # Not answered is not lost: the lease still has its end, and the next third brings another try.
            if error.code == "INVALID_ARGUMENT":
                return
            continue
        if response.outcome == pb.EXTEND_OUTCOME_LOST:
            return
        if response.outcome == pb.EXTEND_OUTCOME_EXTENDED:
            ends_at = asked_at + response.expires_in_ms / 1_000
