"""One `get_or_rebuild`, as steps: ask until there is a value, a failure, or no time left."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any

from dibs.errors import BusyError, DibsError, RebuildFailedError, ServiceError, TokenError
from dibs.hooks import tell
from dibs.outcomes import freshness, payload, word
from dibs.rebuild import LeaseGoneError, Task, give_back, rebuild_under_lease
from dibs.rebuilding import Answer, Ended, Rebuilding, wait_ended
from dibs.steps import Behind, Call, Grant, Join, Ran, Run, Sleep, Steps
from dibs.v1 import coordinator_pb2 as pb

#: A shorter wait does not count as one: it is the answer's way over the network.
_WAITED_S_MIN = 0.010
#: The shortest pause between two requests, however soon the service allows a retry.
_PAUSE_S_MIN = 0.010
#: What an answer may take on its way, in addition to the wait.
WAY_S = 2.0
#: The service's default bound of a wait. A longer one is asked for in pieces.
_PIECE_S = 30.0
#: A piece that ended sooner was not a piece of a long wait. Asking again at once would be a busy loop.
_PIECE_S_MIN = 1.0
#: How often in a row the service may break off a call before it counts as unreachable. A replica that was killed ends
#: its calls like this, and the next attempt reaches another one. If there is none, it fails within milliseconds.
_BROKEN_OFF_MAX = 2


@dataclass(frozen=True)
class First:
    """The first answer of a call, which was requested together with those of other keys, under this id."""

    request_id: str
    answer: Future[Any]
    #: A time of `time.monotonic()`.
    asked_at: float


def fetch_loop(task: Task, first: First | None = None) -> Steps[Answer]:
    """The value of a key. Raises the rebuild's error, RebuildFailedError, BusyError, or ServiceError."""
    # The same for every attempt, so that a lease whose answer was lost is granted again.
    request_id = str(uuid.uuid4()) if first is None else first.request_id
    asking = _Asking(request_id, in_pieces=task.terms.wait_ms is None)
    if first is not None:
        # It was already retried if that made sense.
        asking.broken_off = _BROKEN_OFF_MAX - 1
        answer = yield from _ask(task, asking, first)
        if answer is not None:
            return answer
    while True:
        # A read gets no error of a rebuild, only what the service says about it.
        running = None if task.read_only else task.rebuilds.joinable(task.terms)
        if running is not None:
            answer = yield from _join(task, running)
        else:
            answer = yield from _ask(task, asking)
        if answer is not None:
            return answer


class _Asking:
    """What one call remembers between requests."""

    def __init__(self, request_id: str, in_pieces: bool) -> None:
        self.request_id = request_id
        #: The service bounds each wait by its own maximum, and the caller's is longer.
        self.in_pieces = in_pieces
        #: How often in a row the service broke off.
        self.broken_off = 0


def _join(task: Task, running: Rebuilding) -> Steps[Answer | None]:
    """The result of a rebuild of this process, for a caller that joined late; None if the service must be asked."""
    terms, joined_at = task.terms, monotonic()
    ended: Ended | None = yield Join(running, task.until)
    waited = monotonic() - joined_at
    got = ended is not None and (ended.answer is not None or ended.error is not None)
    _waited(task, waited, got)
    if ended is None:
        raise wait_ended(running.began_at)
    if ended.error is not None:
        raise ended.error
    if ended.answer is not None:
        next(task.metrics.hits(terms.namespace, "joined", "fresh").up)
    return ended.answer


def _ask(task: Task, asking: _Asking, first: First | None = None) -> Steps[Answer | None]:
    """One request, and its consequences; None if the service must be asked again."""
    asked_at = monotonic() if first is None else first.asked_at
    left = max(0.0, task.until - asked_at)
    question = _question(task, asking, left, None if first is None else first.answer)
    try:
        response: pb.GetOrLockResponse = yield question
    except ServiceError as error:
        return (yield from _no_outcome(task, asking, error))
    task.away.answered()
    asking.broken_off = 0
    waited = monotonic() - asked_at
    outcome = response.WhichOneof("outcome")
    if outcome == "hit":
        if waited >= _WAITED_S_MIN:
            _waited(task, waited, True)
        return _served(task, response.hit)
    if outcome == "lease":
        if task.on_lease is not None:
            return (yield from task.on_lease(task, response.lease))  # type: ignore[no-any-return]
        try:
            return (yield from _under_lease(task, response.lease, asked_at))
        except LeaseGoneError as gone:
            # A key that is invalidated faster than it is rebuilt must not hold its caller forever.
            if monotonic() >= task.until:
                raise gone.error from None
            # This call has used up its lease. With the same id it would get it again.
            asking.request_id = str(uuid.uuid4())
            return None
    # A read that finds nothing has waited for no rebuild.
    if not task.read_only or waited >= _WAITED_S_MIN:
        _waited(task, waited, outcome == "failed")
    if outcome == "failed":
        raise RebuildFailedError(response.failed.message, response.failed.retry_after_ms / 1_000)
    # An outcome of a later service. This version only knows that there is no answer.
    busy = response.busy if outcome == "busy" else pb.Busy()
    reason = word(pb.BusyReason, busy.reason)
    after = busy.retry_after_ms / 1_000
    busy_error = BusyError(reason, after, busy.holder_age_ms / 1_000)
    a_piece = not question.request.HasField("wait_ms")
    if reason == "wait_ended" and a_piece and waited >= _PIECE_S_MIN and monotonic() < task.until:
        return None
    # Waiting longer makes no sense if the rebuild takes longer than the wait. It may take longer than a piece.
    ends_here = reason == "no_value" or (reason == "deadline_too_short" and not a_piece)
    yield from _come_back(busy_error, None if ends_here else after, task.until)
    return None


def asked_wait_ms(left: float, in_pieces: bool) -> int | None:
    """If the wait is not sent, the deadline and the service's maximum bound it."""
    return None if in_pieces or left > _PIECE_S else int(left * 1_000)


def _question(task: Task, asking: _Asking, left: float, first: Future[Any] | None) -> Call:
    terms = task.terms
    request = pb.GetOrLockRequest(
        namespace=terms.namespace,
        key=terms.key,
        wait_ms=asked_wait_ms(left, asking.in_pieces),
        lease_ms=terms.lease_ms,
        stale=terms.stale,
        read=terms.read,
        request_id=asking.request_id,
        holder=terms.holder,
        intent=pb.INTENT_READ if task.read_only else pb.INTENT_REFRESH if terms.refresh else pb.INTENT_REBUILD,
    )
    # A caller that has left must not stay in the service's queue, nor get the lease.
    return Call("GetOrLock", request, left + WAY_S, task.trace.traceparent, leavable=True, answer=first)


def _no_outcome(task: Task, asking: _Asking, error: ServiceError) -> Steps[Answer | None]:
    if error.code == "INVALID_ARGUMENT" and error.message.startswith("wait_ms:") and not asking.in_pieces:
        # The service's maximum is lower than usual.
        asking.in_pieces = True
        return None
    if not error.unreachable:
        if error.code != "CANCELLED" and not isinstance(error, TokenError):
            task.away.answered()
        yield from _come_back(error, error.retry_after, task.until)
        return None
    asking.broken_off += 1
    if error.code == "UNAVAILABLE" and asking.broken_off < _BROKEN_OFF_MAX:
        return None
    return (yield from _without_service(task, error))


def _waited(task: Task, waited: float, answered: bool) -> None:
    task.metrics.waited(task.terms.namespace, waited)
    tell(task.hooks.wait, task.terms.namespace, task.terms.key, waited, answered)


def hit_at_once(task: Task, hit: pb.Hit, first: First) -> Answer:
    """The answer to the first request, without steps."""
    task.away.answered()
    waited = monotonic() - first.asked_at
    if waited >= _WAITED_S_MIN:
        _waited(task, waited, True)
    return _served(task, hit)


def _served(task: Task, hit: pb.Hit) -> Answer:
    next(task.metrics.hits(task.terms.namespace, "service", freshness(hit)).up)
    tell(task.hooks.hit, task.terms.namespace, task.terms.key, freshness(hit))
    return Answer(payload(hit), hit.fence)


def _come_back(error: DibsError, after: float | None, until: float) -> Steps[None]:
    """Pauses as the service asked. Raises `error` if it did not ask, or if the time is over by then."""
    if after is None:
        raise error
    at = monotonic() + max(after, _PAUSE_S_MIN * (1 + random.random()))
    if at >= until:
        raise error
    yield Sleep(at)


def _under_lease(task: Task, lease: pb.Lease, asked_at: float) -> Steps[Answer]:
    terms, previous = task.terms, None
    if lease.HasField("previous") and (not lease.previous.HasField("value") or task.readable(lease.previous.value)):
        previous = lease.previous
    if previous is not None and _is_newer(previous, terms.unreadable_fence):
        # Another caller has replaced what could not be read while this one waited for its turn.
        yield from give_back(task, lease, None, None)
        return _served(task, previous)
    rebuilding = rebuild_under_lease(task, lease, asked_at)
    if previous is None:
        return (yield from rebuilding)
    if not terms.wait_for_rebuild and not terms.refresh:
        # There is a value to serve in the meantime, and the caller does not insist on the newest.
        yield Behind(_behind(task, rebuilding))
        return _served(task, previous)
    try:
        return (yield from rebuilding)
    except LeaseGoneError:
        raise
    except Exception as error:
        if not terms.stale_if_error:
            raise
        tell(task.hooks.background_error, terms.namespace, terms.key, error)
        return _served(task, previous)


def _is_newer(previous: pb.Hit, unreadable_fence: int | None) -> bool:
    fresh = previous.freshness == pb.FRESHNESS_FRESH
    return unreadable_fence is not None and fresh and previous.fence > unreadable_fence


def _behind(task: Task, rebuilding: Steps[Answer]) -> Steps[None]:
    try:
        yield from rebuilding
    except LeaseGoneError:
        # Another caller may have the value by now, and no caller waits for this one.
        return
    except Exception as error:
        tell(task.hooks.background_error, task.terms.namespace, task.terms.key, error)


def _without_service(task: Task, cause: ServiceError) -> Steps[Answer | None]:
    """The service cannot be reached: runs one rebuild at a time in this process, or raises the error."""
    terms = task.terms
    kept = task.away.kept(terms) if terms.rebuild_locally else None
    # What was rebuilt here since then is newer.
    old = _left_near(task) if kept is None else None
    if old is None and not terms.rebuild_locally:
        raise cause
    if terms.rebuild_locally:
        task.away.lost(cause)
    if old is not None:
        next(task.metrics.hits(terms.namespace, "near", "stale").up)
        tell(task.hooks.hit, terms.namespace, terms.key, "stale")
        return old
    if kept is not None:
        next(task.metrics.hits(terms.namespace, "joined", "fresh").up)
        tell(task.hooks.hit, terms.namespace, terms.key, "fresh")
        return kept
    running, new = task.rebuilds.begin_local(terms)
    if not new:
        return (yield from _join(task, running))
    try:
        return (yield from _rebuild_locally(task, running, cause))
    finally:
        task.rebuilds.over(terms, running)


def _left_near(task: Task) -> Answer | None:
    """The value that was fresh when the service last answered, for a caller that accepts it as stale."""
    terms = task.terms
    if task.near is None or terms.stale == pb.STALE_FORBID or not terms.shares or terms.unreadable_fence is not None:
        return None
    entry = task.near.left(*terms.id)
    return None if entry is None else Answer(entry.data, entry.fence)


def _rebuild_locally(task: Task, running: Rebuilding, cause: ServiceError) -> Steps[Answer]:
    terms = task.terms
    task.metrics.rebuilt_locally(terms.namespace)
    tell(task.hooks.local_rebuild, terms.namespace, terms.key, cause)
    returns = task.away.returns
    ran: Ran = yield Run(task.rebuild, Grant(fence=0, reason="local"), running)
    if ran.error is not None:
        running.end(Ended(error=ran.error))
        raise ran.error
    result = ran.result
    assert result is not None
    answer = Answer(result.data)
    if result.store and result.refused is None:
        ttl_ms = terms.absent_ttl_ms if result.data is None else terms.ttl_ms
        ttl_s = (ttl_ms if result.ttl_ms is None else result.ttl_ms) / 1_000
        task.away.keep(terms, running, answer, ttl_s, returns)
        running.end(Ended(answer))
    return answer
