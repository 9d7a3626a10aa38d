"""One rebuild under one lease, as steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from dibs.errors import ServiceError
from dibs.failure import failure_of
from dibs.hooks import Hooks, tell
from dibs.keeper import keep_lease
from dibs.options import Terms
from dibs.outcomes import payload, word
from dibs.steps import Abandoned, Behind, Call, Grant, Ran, Run, Sleep, Steps
from dibs.tracing import RebuildSpan, Trace
from dibs.v1 import coordinator_pb2 as pb

#: Shorter than a rebuild that is worth a lease: nobody waits longer for what they have already.
_PUBLISH_S = 2.0
_PUBLISH_AGAIN = 3
_PUBLISH_PAUSE_S = 0.100
#: Long enough for a service that fails over, short enough that nobody hangs on it.
_RELEASE_S = 5.0


@dataclass(frozen=True)
class Task:
    """Who asks for what, and how it is made."""

    terms: Terms
    hooks: Hooks
    #: As in `steps.Run`.
    rebuild: Callable[[Grant, Any], Any]
    trace: Trace


class LeaseGoneError(Exception):
    """The rebuild gave up, with `error`, because its lease was lost: somebody else may have the value by now."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def rebuild_under_lease(task: Task, lease: pb.Lease) -> Steps[bytes | None]:
    """Rebuilds and hands the result over, which counts for its own caller whatever became of the publish.

    Raises what the rebuild raised, after the waiters were told; LeaseGoneError; or ServiceError where the
    service refuses the value.
    """
    span = task.trace.rebuild(task.terms.namespace, word(pb.LeaseReason, lease.reason), lease.fence)
    failed: Exception | None = None
    try:
        return (yield from _rebuild_and_hand_over(task, lease, span))
    except LeaseGoneError as gone:
        failed = gone.error
        raise
    except Exception as error:
        failed = error
        raise
    finally:
        span.end(failed)


def _rebuild_and_hand_over(task: Task, lease: pb.Lease, span: RebuildSpan) -> Steps[bytes | None]:
    terms = task.terms
    ends_at = monotonic() + lease.expires_in_ms / 1_000
    extend = pb.ExtendRequest(namespace=terms.namespace, key=terms.key, token=lease.token, lease_ms=terms.lease_ms)
    grant = Grant(
        fence=lease.fence,
        reason=word(pb.LeaseReason, lease.reason),
        has_previous=lease.HasField("previous"),
        previous=payload(lease.previous),
    )
    try:
        ran: Ran = yield Run(
            task.rebuild,
            grant,
            keep=lambda: keep_lease(extend, ends_at, span.traceparent),
            on_lost=lambda: tell(task.hooks.lease_lost, terms.namespace, terms.key),
            around=span.current,
        )
    except Abandoned:
        # That the callers have gone is no failure, and somebody else may try at once.
        yield from _give_up(task, lease, span, None)
        raise
    if ran.error is not None:
        if ran.lost:
            raise LeaseGoneError(ran.error)
        yield from _give_up(task, lease, span, failure_of(ran.error))
        raise ran.error
    yield from _hand_over(task, lease, span, ran.value)
    return ran.value


def _give_up(task: Task, lease: pb.Lease, span: RebuildSpan, failure: pb.Failure | None) -> Steps[None]:
    terms = task.terms
    request = pb.ReleaseRequest(namespace=terms.namespace, key=terms.key, token=lease.token, failure=failure)
    try:
        yield Call("Release", request, _RELEASE_S, span.traceparent)
    except ServiceError as error:
        # The lease ends with its time; the error that counts is the rebuild's.
        tell(task.hooks.background_error, terms.namespace, terms.key, error)


def _hand_over(task: Task, lease: pb.Lease, span: RebuildSpan, value: bytes | None) -> Steps[None]:
    """A fault of the caller's, such as a value beyond the bound, is raised; anything else is tried again behind."""
    try:
        request = _publication(task.terms, lease, value)
    except Exception as error:
        # What cannot even be sent, such as a tag that is no text.
        yield from _give_up(task, lease, span, failure_of(error))
        raise
    try:
        yield from _publish(task, request, span)
    except ServiceError as error:
        if not _may_publish_again(error):
            yield from _give_up(task, lease, span, failure_of(error))
            raise
        # Safe to repeat: one that was stored already is answered with `duplicate`.
        yield Behind(_publish_again(task, request, span, error))


def _publication(terms: Terms, lease: pb.Lease, value: bytes | None) -> pb.PublishRequest:
    request = pb.PublishRequest(
        namespace=terms.namespace,
        key=terms.key,
        token=lease.token,
        ttl_ms=terms.absent_ttl_ms if value is None else terms.ttl_ms,
        stale_ms=terms.stale_ms,
        tags=terms.tags,
    )
    if value is None:
        request.absent = True
    else:
        request.value = value
    return request


def _publish(task: Task, request: pb.PublishRequest, span: RebuildSpan) -> Steps[None]:
    terms = task.terms
    response: pb.PublishResponse = yield Call("Publish", request, _PUBLISH_S, span.traceparent)
    outcome = word(pb.PublishOutcome, response.outcome)
    span.published(outcome)
    tell(task.hooks.publish, terms.namespace, terms.key, outcome, response.fence)


def _publish_again(task: Task, request: pb.PublishRequest, span: RebuildSpan, error: ServiceError) -> Steps[None]:
    for time in range(_PUBLISH_AGAIN):
        pause = _PUBLISH_PAUSE_S * 2**time * (0.5 + random.random())
        yield Sleep(monotonic() + (pause if error.retry_after is None else error.retry_after))
        try:
            return (yield from _publish(task, request, span))
        except ServiceError as again:
            error = again
            if not _may_publish_again(error):
                break
    tell(task.hooks.background_error, task.terms.namespace, task.terms.key, error)
    return None


def _may_publish_again(error: ServiceError) -> bool:
    return error.unreachable or error.retry_after is not None
