"""One `get_or_rebuild`, as steps: ask until there is a value, a failure, or no time left."""

from __future__ import annotations

import random
import uuid
from time import monotonic

from dibs.errors import BusyError, DibsError, RebuildFailedError, ServiceError
from dibs.hooks import tell
from dibs.options import DEFAULT_WAIT_S
from dibs.outcomes import freshness, payload, word
from dibs.rebuild import LeaseGoneError, Task, rebuild_under_lease
from dibs.steps import Behind, Call, Grant, Ran, Run, Sleep, Steps, Together
from dibs.v1 import coordinator_pb2 as pb

#: A wait that took less was none: the answer's way over the network.
_WAITED_S_MIN = 0.010
#: Between two questions, at the least, however soon the service says to come back.
_PAUSE_S_MIN = 0.010
#: What the answer's way may take, above the wait.
_WAY_S = 2.0
#: How often in a row the service may break off before it counts as out of reach: a replica that was killed ends
#: its calls so, and the next attempt reaches another. Where there is none, it fails within milliseconds.
_BROKEN_OFF_MAX = 2


def fetch_loop(task: Task) -> Steps[bytes | None]:
    """The value of a key; None where the source has nothing.

    Raises what the rebuild raised, RebuildFailedError, BusyError, or ServiceError.
    """
    terms, hooks = task.terms, task.hooks
    wait = DEFAULT_WAIT_S if terms.wait_ms is None else terms.wait_ms / 1_000
    until = monotonic() + wait
    # The same for every attempt: a lease whose answer was lost on its way comes again.
    request_id = str(uuid.uuid4())
    broken_off = 0
    while True:
        asked_at = monotonic()
        try:
            response: pb.GetOrLockResponse = yield _question(task, request_id, max(0.0, until - asked_at))
        except ServiceError as error:
            if not error.unreachable:
                yield from _come_back(error, error.retry_after, until)
                continue
            broken_off += 1
            if error.code == "UNAVAILABLE" and broken_off < _BROKEN_OFF_MAX:
                continue
            return (yield from _without_service(task, error))
        broken_off = 0
        waited = monotonic() - asked_at
        outcome = response.WhichOneof("outcome")
        if outcome == "hit":
            if waited >= _WAITED_S_MIN:
                tell(hooks.wait, terms.namespace, terms.key, waited, True)
            return _served(task, response.hit)
        if outcome == "lease":
            try:
                return (yield from _under_lease(task, response.lease))
            except LeaseGoneError as gone:
                # A key that is invalidated faster than it is rebuilt must not hold its caller for ever.
                if monotonic() >= until:
                    raise gone.error from None
                continue
        tell(hooks.wait, terms.namespace, terms.key, waited, outcome == "failed")
        if outcome == "failed":
            raise RebuildFailedError(response.failed.message, response.failed.retry_after_ms / 1_000)
        # An outcome that a later service has: all that this client can say of it is that there is no answer.
        busy = response.busy if outcome == "busy" else pb.Busy()
        reason = word(pb.BusyReason, busy.reason)
        # Waiting on is no use where the service said that the rebuild takes longer than the wait.
        ends_here = reason in ("deadline_too_short", "no_value")
        after = busy.retry_after_ms / 1_000
        busy_error = BusyError(reason, after, busy.holder_age_ms / 1_000)
        yield from _come_back(busy_error, None if ends_here else after, until)


def _question(task: Task, request_id: str, left: float) -> Call:
    terms = task.terms
    request = pb.GetOrLockRequest(
        namespace=terms.namespace,
        key=terms.key,
        # Where the caller names no wait, the deadline bounds it, and the service's own maximum.
        wait_ms=None if terms.wait_ms is None else int(left * 1_000),
        lease_ms=terms.lease_ms,
        stale=terms.stale,
        read=terms.read,
        request_id=request_id,
        holder=terms.holder,
        intent=pb.INTENT_REFRESH if terms.refresh else pb.INTENT_REBUILD,
    )
    # Whoever has left must not stand in the service's queue, nor be given the lease.
    return Call("GetOrLock", request, left + _WAY_S, task.trace.traceparent, leavable=True)


def _served(task: Task, hit: pb.Hit) -> bytes | None:
    tell(task.hooks.hit, task.terms.namespace, task.terms.key, freshness(hit))
    return payload(hit)


def _come_back(error: DibsError, after: float | None, until: float) -> Steps[None]:
    """Pauses as the service asked; raises `error` where it did not, or where the time is over by then."""
    if after is None:
        raise error
    at = monotonic() + max(after, _PAUSE_S_MIN * (1 + random.random()))
    if at >= until:
        raise error
    yield Sleep(at)


def _under_lease(task: Task, lease: pb.Lease) -> Steps[bytes | None]:
    rebuilding = rebuild_under_lease(task, lease)
    # There is something to serve meanwhile, and the caller does not insist on the newest.
    if lease.HasField("previous") and not task.terms.refresh and not task.terms.wait_for_rebuild:
        yield Behind(_behind(task, rebuilding))
        return _served(task, lease.previous)
    return (yield from rebuilding)


def _behind(task: Task, rebuilding: Steps[bytes | None]) -> Steps[None]:
    try:
        yield from rebuilding
    except LeaseGoneError:
        # Somebody else may have the value by now, and nobody waits for this one.
        return
    except Exception as error:
        tell(task.hooks.background_error, task.terms.namespace, task.terms.key, error)


def _without_service(task: Task, cause: ServiceError) -> Steps[bytes | None]:
    """The service cannot be reached: one rebuild at a time in this process, or the error."""
    terms = task.terms
    if not terms.rebuild_locally:
        raise cause

    def local() -> Steps[bytes | None]:
        tell(task.hooks.local_rebuild, terms.namespace, terms.key, cause)
        ran: Ran = yield Run(task.rebuild, Grant(fence=0, reason="local"))
        if ran.error is not None:
            raise ran.error
        return ran.value

    value: bytes | None = yield Together((terms.namespace, terms.key), local)
    return value
