"""What the service knows about a key. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from dibs.errors import ServiceError
from dibs.outcomes import word
from dibs.steps import Call, Steps
from dibs.v1 import coordinator_pb2 as pb

#: Long enough for a service that fails over, short enough that no caller hangs on it.
_EXPLAIN_S = 5.0


@dataclass(frozen=True)
class LeaseInfo:
    """The running lease."""

    #: The holder's label.
    holder: str
    fence: int
    age: float
    expires_in: float
    #: Why it was granted, such as `miss` or `expired`.
    reason: str
    #: The W3C traceparent of the rebuild; empty if it is not traced.
    traceparent: str


@dataclass(frozen=True)
class ValueInfo:
    """The cached value."""

    #: True: the source is known to have nothing.
    absent: bool
    #: `fresh` or `stale`.
    freshness: str
    size_bytes: int
    age: float
    #: 0 if it is stale.
    fresh_for: float
    #: How long it may still be served stale, from now on.
    stale_for: float
    fence: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class PastLease:
    """A lease that has ended."""

    holder: str
    fence: int
    #: How long it was held, and how long ago it ended.
    held: float
    ended_ago: float
    #: How it ended, such as `published`, `failed` or `expired`.
    end: str
    #: The holder's message, if it failed.
    failure: str


@dataclass(frozen=True)
class Explanation:
    """Why a key waits."""

    #: None if no rebuild runs.
    lease: LeaseInfo | None
    #: How many callers wait on the replica that answered.
    waiters: int
    #: None if nothing is cached.
    value: ValueInfo | None
    #: The highest fence of the key so far; 0 if unknown.
    fence: int
    #: Newest first, at most 16.
    past_leases: tuple[PastLease, ...]
    #: The message of the failure whose back-off is running, and the remaining back-off; None if there is none.
    failure: str | None
    retry_after: float | None
    #: The part of the service that was unavailable: `none`, or for example `store_lost`.
    degraded: str


def explain(request: pb.ExplainRequest, traceparent: str) -> Steps[Explanation]:
    """Raises ServiceError. If a replica breaks off, another one may answer."""
    for last in (False, True):
        try:
            response: pb.ExplainResponse = yield Call("Explain", request, _EXPLAIN_S, traceparent)
            return _explanation(response)
        except ServiceError as error:
            if last or error.code != "UNAVAILABLE" or not error.unreachable:
                raise
    raise AssertionError("unreachable")


def _explanation(said: pb.ExplainResponse) -> Explanation:
    lease, value = said.lease, said.value
    failed = said.failed if said.HasField("failed") else None
    return Explanation(
        lease=None
        if not said.HasField("lease")
        else LeaseInfo(
            lease.holder,
            lease.fence,
            lease.age_ms / 1_000,
            lease.expires_in_ms / 1_000,
            word(pb.LeaseReason, lease.reason),
            lease.traceparent,
        ),
        waiters=said.waiters,
        value=None
        if not said.HasField("value")
        else ValueInfo(
            value.absent,
            word(pb.Freshness, value.freshness),
            value.size_bytes,
            value.age_ms / 1_000,
            value.fresh_for_ms / 1_000,
            value.stale_for_ms / 1_000,
            value.fence,
            tuple(value.tags),
        ),
        fence=said.fence,
        past_leases=tuple(
            PastLease(
                past.holder,
                past.fence,
                past.held_ms / 1_000,
                past.ended_ago_ms / 1_000,
                word(pb.LeaseEnd, past.end),
                past.failure_message,
            )
            for past in said.past_leases
        ),
        failure=None if failed is None else failed.message,
        retry_after=None if failed is None else failed.retry_after_ms / 1_000,
        degraded=word(pb.Degraded, said.degraded),
    )
