"""One `set`, as steps: a lease, once no other rebuild runs, and the publish under it."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from dibs.errors import ServiceError
from dibs.fetch_loop import fetch_loop
from dibs.outcomes import word
from dibs.rebuild import (
    PUBLISH_AGAIN,
    PUBLISH_PAUSE_S,
    STORED,
    Task,
    may_publish_again,
    publication,
    publish,
    released,
)
from dibs.steps import Abandoned, Behind, Sleep, Steps
from dibs.tracing import RebuildSpan
from dibs.v1 import coordinator_pb2 as pb
from dibs.values import Result


@dataclass(frozen=True)
class Stored:
    """The result of a `set`."""

    #: `stored`, `stored_late`, `duplicate`, `superseded`, `invalidated`, `unknown_lease` or `not_stored`.
    outcome: str
    #: Whether the service has it: true for the first three.
    stored: bool


def write_through(task: Task, data: bytes | None, changed: Callable[[str, Collection[str]], None]) -> Steps[Stored]:
    """Calls `changed` when older values no longer count, also if it is unknown whether the value is stored."""

    def under(task: Task, lease: pb.Lease) -> Steps[Any]:
        try:
            return (yield from _under_lease(task, lease, data))
        except (ServiceError, Abandoned):
            yield Behind(released(task, lease))
            raise
        finally:
            changed(task.terms.namespace, (task.terms.key,))

    try:
        stored: Any = yield from fetch_loop(replace(task, on_lease=under))
    except BaseException:
        # Without a lease, too: the caller has changed its source, and reads again.
        changed(task.terms.namespace, (task.terms.key,))
        raise
    if not isinstance(stored, Stored):
        raise ServiceError("INTERNAL", "the answer to a refresh is not a lease")
    return stored


def _under_lease(task: Task, lease: pb.Lease, data: bytes | None) -> Steps[Stored]:
    request, span = publication(task.terms, lease, Result(data)), RebuildSpan(task.trace.traceparent)
    time = 0
    while True:
        try:
            response = yield from publish(task, request, span)
            return Stored(word(pb.PublishOutcome, response.outcome), response.outcome in STORED)
        except ServiceError as error:
            if time == PUBLISH_AGAIN or not may_publish_again(error):
                raise
            pause = PUBLISH_PAUSE_S * 2**time * (0.5 + random.random())
            again_at = monotonic() + (pause if error.retry_after is None else error.retry_after)
        # Safe to repeat: a publish that was already stored answers `duplicate`.
        yield Sleep(again_at)
        time += 1
