"""One rebuild under one lease, as steps."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from dibs.away import Away
from dibs.errors import LeaseLostError, ServiceError, TokenError
from dibs.failure import failure_of
from dibs.hooks import Hooks, tell
from dibs.keeper import keep_lease
from dibs.metrics import Metrics, RebuildOutcome
from dibs.near_cache import NearValues
from dibs.options import Terms
from dibs.outcomes import payload, word
from dibs.rebuilding import Answer, Ended, Rebuilding, Rebuilds
from dibs.steps import Abandoned, Behind, Call, Grant, Ran, Run, Sleep, Steps
from dibs.tracing import RebuildSpan, Trace
from dibs.v1 import coordinator_pb2 as pb
from dibs.values import Result

#: Shorter than a rebuild that is worth a lease, because the caller already has its value.
_PUBLISH_S = 2.0
PUBLISH_AGAIN = 3
PUBLISH_PAUSE_S = 0.100
#: Long enough for a service that fails over, short enough that no caller hangs on it.
_RELEASE_S = 5.0
#: The lease was over before the publish: another caller may have the value by now.
_VOID = (pb.PUBLISH_OUTCOME_SUPERSEDED, pb.PUBLISH_OUTCOME_INVALIDATED, pb.PUBLISH_OUTCOME_UNKNOWN_LEASE)
STORED = (pb.PUBLISH_OUTCOME_STORED, pb.PUBLISH_OUTCOME_STORED_LATE, pb.PUBLISH_OUTCOME_DUPLICATE)


@dataclass(frozen=True)
class Task:
    """One call: the request, and how it is made."""

    terms: Terms
    hooks: Hooks
    metrics: Metrics
    #: As in `steps.Run`.
    rebuild: Callable[[Grant, Any], Any]
    trace: Trace
    rebuilds: Rebuilds
    away: Away
    near: NearValues | None
    #: When the caller's wait is over, a time of `time.monotonic()`.
    until: float
    #: Whether the codec can read it.
    readable: Callable[[bytes], bool]
    #: It gets no lease.
    read_only: bool = False
    #: Replaces the rebuild under the lease.
    on_lease: Callable[[Task, pb.Lease], Steps[Any]] | None = None


@dataclass
class _Held:
    """A lease and the rebuild under it."""

    task: Task
    lease: pb.Lease
    #: When its request was sent, a time of `time.monotonic()`.
    asked_at: float
    running: Rebuilding
    span: RebuildSpan
    #: None: a publish in the background will know.
    outcome: RebuildOutcome | None = "not_stored"


class LeaseGoneError(Exception):
    """The lease was lost, and the rebuild's result counts for no caller. Another one may have the value by now."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def rebuild_under_lease(task: Task, lease: pb.Lease, asked_at: float) -> Steps[Answer]:
    """Rebuilds and publishes the result, which its own callers get even if the publish fails.

    `asked_at` is when the lease's request was sent. Raises the rebuild's error, after the waiters were told, or
    LeaseGoneError.
    """
    span = task.trace.rebuild(task.terms.namespace, word(pb.LeaseReason, lease.reason), lease.fence)
    held = _Held(task, lease, asked_at, task.rebuilds.begin(task.terms, lease), span)
    failed: Exception | None = None
    try:
        return (yield from _rebuild_and_hand_over(held))
    except LeaseGoneError as gone:
        failed, held.outcome = gone.error, "lost"
        raise
    except Exception as error:
        failed, held.outcome = error, "failed"
        raise
    finally:
        if held.outcome is not None:
            task.metrics.rebuilt(task.terms.namespace, held.outcome)
        task.rebuilds.over(task.terms, held.running)
        span.end(failed)


def give_back(task: Task, lease: pb.Lease, span: RebuildSpan | None, failure: pb.Failure | None) -> Steps[bool]:
    """Releases a lease. Returns whether the service says that it was held until then."""
    terms = task.terms
    request = pb.ReleaseRequest(namespace=terms.namespace, key=terms.key, token=lease.token, failure=failure)
    traceparent = task.trace.traceparent if span is None else span.traceparent
    try:
        response: pb.ReleaseResponse = yield Call("Release", request, _RELEASE_S, traceparent, ends_lease=True)
    except ServiceError as error:
        # The lease expires by itself. The error that counts is the rebuild's.
        tell(task.hooks.background_error, terms.namespace, terms.key, error)
        return False
    return response.outcome == pb.RELEASE_OUTCOME_RELEASED


def released(task: Task, lease: pb.Lease) -> Steps[None]:
    """The same in the background: others need not wait until it expires."""
    yield from give_back(task, lease, None, None)


def _rebuild_and_hand_over(held: _Held) -> Steps[Answer]:
    task, lease, running, span = held.task, held.lease, held.running, held.span
    try:
        ran: Ran = yield _run(held)
    except Abandoned:
        # If the callers have left, that is not a failure, and another caller may try at once.
        running.close()
        yield from give_back(task, lease, span, None)
        raise
    if ran.void or (ran.lost and ran.error is not None):
        raise LeaseGoneError(ran.error or LeaseLostError())
    # From here on, a caller could miss an invalidation that comes between the publish and its answer.
    running.close()
    if ran.error is not None:
        released = yield from give_back(task, lease, span, failure_of(ran.error))
        running.end(Ended(error=ran.error) if released else Ended())
        raise ran.error
    result = ran.result
    assert result is not None
    answer = Answer(result.data, lease.fence)
    if not result.store:
        yield from give_back(task, lease, span, None)
        return answer
    published = yield from _hand_over(held, result)
    if ran.lost and published is not None and published.outcome in _VOID:
        # The lease expired without notice from the service. This is the notice.
        raise LeaseGoneError(LeaseLostError())
    # A replica that does not know whether it counts leaves the field out.
    if published is not None and published.outcome in STORED and published.counts:
        running.end(Ended(answer))
    return answer


def _run(held: _Held) -> Run:
    task, lease, terms = held.task, held.lease, held.task.terms
    return Run(
        task.rebuild,
        Grant(
            fence=lease.fence,
            reason=word(pb.LeaseReason, lease.reason),
            has_previous=lease.HasField("previous"),
            previous=payload(lease.previous),
        ),
        held.running,
        keep=functools.partial(_kept, held, monotonic() + terms.lease_hold_max_s),
        on_lost=lambda: _lost(task),
        around=held.span.current,
    )


def _kept(held: _Held, hold_until: float, on_over: Callable[[], None]) -> Steps[None]:
    terms, lease = held.task.terms, held.lease
    extend = pb.ExtendRequest(namespace=terms.namespace, key=terms.key, token=lease.token, lease_ms=terms.lease_ms)
    expires_in, traceparent = lease.expires_in_ms / 1_000, held.span.traceparent
    if (yield from keep_lease(extend, held.asked_at, expires_in, hold_until, traceparent, on_over)):
        yield Behind(released(held.task, lease))


def _lost(task: Task) -> None:
    task.metrics.lost(task.terms.namespace)
    tell(task.hooks.lease_lost, task.terms.namespace, task.terms.key)


def _hand_over(held: _Held, result: Result) -> Steps[pb.PublishResponse | None]:
    """The service's answer for the result; None if it has accepted nothing.

    A publish without an answer is repeated in the background. A refusal, for example because of its size, is told to
    the fleet. The source has answered anyway, so the caller has its value.
    """
    task = held.task
    if result.refused is not None:
        yield from _not_storable(held, result.refused, failure_of(result.refused))
        return None
    try:
        request = publication(task.terms, held.lease, result)
        published = yield from publish(task, request, held.span)
        held.outcome = "published" if published.outcome in STORED else "not_stored"
        return published
    except ServiceError as error:
        if may_publish_again(error):
            held.outcome = None
            # Safe to repeat: a publish that was already stored answers `duplicate`.
            yield Behind(_publish_again(held, request, error))
            return None
        refused = error
    yield from _not_storable(held, refused, pb.Failure(message=refused.message))
    return None


def _not_storable(held: _Held, refused: Exception, failure: pb.Failure) -> Steps[None]:
    tell(held.task.hooks.not_storable, held.task.terms.namespace, held.task.terms.key, refused)
    yield from give_back(held.task, held.lease, held.span, failure)


def publication(terms: Terms, lease: pb.Lease, result: Result) -> pb.PublishRequest:
    ttl_ms = terms.absent_ttl_ms if result.data is None else terms.ttl_ms
    request = pb.PublishRequest(
        namespace=terms.namespace,
        key=terms.key,
        token=lease.token,
        ttl_ms=ttl_ms if result.ttl_ms is None else result.ttl_ms,
        stale_ms=terms.stale_ms if result.stale_ms is None else result.stale_ms,
        tags=terms.tags if result.tags is None else result.tags,
    )
    if result.data is None:
        request.absent = True
    else:
        request.value = result.data
    return request


def publish(task: Task, request: pb.PublishRequest, span: RebuildSpan) -> Steps[pb.PublishResponse]:
    terms = task.terms
    try:
        response: pb.PublishResponse = yield Call("Publish", request, _PUBLISH_S, span.traceparent, ends_lease=True)
    finally:
        # Not only when the service reports it, because this process has the new value. Also if it may have failed.
        if task.near is not None:
            task.near.changed(terms.namespace, (terms.key,))
    outcome = word(pb.PublishOutcome, response.outcome)
    span.published(outcome)
    tell(
        task.hooks.publish,
        terms.namespace,
        terms.key,
        outcome,
        response.fence,
        counts=response.counts if response.HasField("counts") else None,
        maybe_stored=response.maybe_stored,
    )
    return response


def _publish_again(held: _Held, request: pb.PublishRequest, error: ServiceError) -> Steps[None]:
    """If the service answers and does not take the value, the lease is given back."""
    task, span = held.task, held.span
    for time in range(PUBLISH_AGAIN):
        pause = PUBLISH_PAUSE_S * 2**time * (0.5 + random.random())
        yield Sleep(monotonic() + (pause if error.retry_after is None else error.retry_after))
        try:
            published = yield from publish(task, request, span)
            stored = published.outcome in STORED
            task.metrics.rebuilt(task.terms.namespace, "published" if stored else "not_stored")
            return
        except ServiceError as again:
            error = again
            if not may_publish_again(error):
                break
    task.metrics.rebuilt(task.terms.namespace, "not_stored")
    if not may_publish_again(error):
        yield from _not_storable(held, error, pb.Failure(message=error.message))
        return
    tell(task.hooks.background_error, task.terms.namespace, task.terms.key, error)
    # Without an answer, it may be stored.
    if not error.unreachable:
        yield from give_back(task, held.lease, span, None)


def may_publish_again(error: ServiceError) -> bool:
    """Its result is unknown, the service says when to retry, or there was no token at that moment."""
    return error.unreachable or error.retry_after is not None or isinstance(error, TokenError)
