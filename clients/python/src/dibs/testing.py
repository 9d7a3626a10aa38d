"""Doubles of the clients for your own unit tests: the same interface and decisions, without a service.

```python
from dibs.testing import MemoryClient

with MemoryClient() as client:
    assert client.get_or_rebuild("k", lambda: "v", ttl=60) == "v"
    client.advance(61)  # seconds; the value has expired
```

Each client has its own memory. It supports ttl, stale and absent values, tags, invalidation, joining, failures and
their back-off. There is no other process: leases never expire, and a wait asks again every 10 ms.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Any

from dibs.async_client import AsyncClient
from dibs.client import Client
from dibs.errors import ServiceError
from dibs.options import Seconds, seconds_of
from dibs.steps import Call
from dibs.v1 import coordinator_pb2 as pb

#: How long a failure without a time of its own is remembered.
_BACKOFF_MS = 1_000
#: When to retry while another caller rebuilds, because the memory wakes no waiter.
_RETRY_AFTER_MS = 10
_LEASE_MS = 10_000


@dataclass(frozen=True)
class _Change:
    """An invalidation by tags, or of everything, during a lease."""

    #: None: everything.
    tags: frozenset[str] | None
    mark_stale: bool
    at: float

    def reaches(self, tags: frozenset[str]) -> bool:
        return self.tags is None or not self.tags.isdisjoint(tags)


@dataclass
class _Record:
    """What is known about one key. Times are those of the memory's clock."""

    hit: pb.Hit | None = None
    fresh_until: float = 0.0
    stale_until: float = 0.0
    tags: frozenset[str] = frozenset()
    #: The token of the running lease; empty if there is none.
    token: str = ""
    #: What may reach the value that is published under the lease.
    changes: list[_Change] = field(default_factory=list)
    #: Leases that an invalidation has voided.
    voided: set[str] = field(default_factory=set)
    failed: str = ""
    failed_until: float = 0.0
    #: The refreshes that wait for the running lease, and those that have waited for the one that failed, by request id.
    waiting: set[str] = field(default_factory=set)
    failed_for: set[str] = field(default_factory=set)
    #: The reason of the next lease.
    reason: pb.LeaseReason.ValueType = pb.LEASE_REASON_MISS


class _Memory:
    """The service, as far as one process can see it. Any thread may call it."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], _Record] = {}
        self._fences = itertools.count(1)
        self._ahead = 0.0
        self._lock = Lock()

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def answer(self, call: Call) -> Any:
        """The response of a call. Raises ServiceError for bad input, like the service."""
        answers: dict[str, Callable[[Any], Any]] = {
            "GetOrLock": self._get_or_lock,
            "Publish": self._publish,
            "Release": self._release,
            "Extend": self._extend,
            "Invalidate": self._invalidate,
            "Explain": self._explain,
        }
        with self._lock:
            return answers[call.method](call.request)

    def _now(self) -> float:
        return monotonic() + self._ahead

    def _record(self, request: Any) -> _Record:
        return self._records.setdefault((request.namespace or "default", request.key), _Record())

    def _get_or_lock(self, request: pb.GetOrLockRequest) -> pb.GetOrLockResponse:
        if not 1 <= len(request.key.encode()) <= 1_024:
            raise ServiceError("INVALID_ARGUMENT", f"key: {len(request.key.encode())} bytes is outside 1 to 1024")
        record, now = self._record(request), self._now()
        if record.hit is not None and now >= record.stale_until:
            record.hit = None
        hit = record.hit
        refresh = request.intent == pb.INTENT_REFRESH
        if hit is not None and now < record.fresh_until and not refresh:
            return pb.GetOrLockResponse(hit=_as(hit, pb.FRESHNESS_FRESH))
        old = None
        if hit is not None and (refresh or request.stale != pb.STALE_FORBID):
            old = _as(hit, pb.FRESHNESS_FRESH if now < record.fresh_until else pb.FRESHNESS_STALE)
        if request.intent == pb.INTENT_READ and old is None:
            # A wait that is not sent is bounded by its deadline only.
            waits = record.token != "" and (request.wait_ms > 0 or not request.HasField("wait_ms"))
            reason = pb.BUSY_REASON_WAIT_ENDED if waits else pb.BUSY_REASON_NO_VALUE
            return pb.GetOrLockResponse(busy=pb.Busy(retry_after_ms=_RETRY_AFTER_MS, reason=reason))
        if record.token != "" or request.intent == pb.INTENT_READ:
            if old is not None and not refresh:
                return pb.GetOrLockResponse(hit=old)
            record.waiting.add(request.request_id)
            busy = pb.Busy(retry_after_ms=_RETRY_AFTER_MS, reason=pb.BUSY_REASON_WAIT_ENDED)
            return pb.GetOrLockResponse(busy=busy)
        # A refresh does not wait for the back-off of a failure that it has not waited for.
        if now < record.failed_until and (not refresh or request.request_id in record.failed_for):
            if old is not None and not refresh:
                return pb.GetOrLockResponse(hit=old)
            left_ms = round((record.failed_until - now) * 1_000)
            return pb.GetOrLockResponse(failed=pb.Failed(message=record.failed, retry_after_ms=left_ms))
        return pb.GetOrLockResponse(lease=self._lease(record, old, refresh))

    def _lease(self, record: _Record, previous: pb.Hit | None, refresh: bool) -> pb.Lease:
        fence = next(self._fences)
        record.token = str(fence)
        record.waiting = set()
        record.changes.clear()
        return pb.Lease(
            token=record.token,
            fence=fence,
            expires_in_ms=_LEASE_MS,
            previous=previous,
            reason=pb.LEASE_REASON_REFRESH if refresh else record.reason,
        )

    def _publish(self, request: pb.PublishRequest) -> pb.PublishResponse:
        if request.ttl_ms < 1:
            raise ServiceError("INVALID_ARGUMENT", f"ttl_ms: {request.ttl_ms} is outside 1 to 31536000000")
        record = self._record(request)
        if request.token in record.voided:
            return pb.PublishResponse(outcome=pb.PUBLISH_OUTCOME_INVALIDATED)
        if request.token != record.token:
            return pb.PublishResponse(outcome=pb.PUBLISH_OUTCOME_UNKNOWN_LEASE)
        fence = int(record.token)
        absent = request.WhichOneof("payload") == "absent"
        record.hit = pb.Hit(absent=True, fence=fence) if absent else pb.Hit(value=request.value, fence=fence)
        record.fresh_until = self._now() + request.ttl_ms / 1_000
        record.stale_until = record.fresh_until + request.stale_ms / 1_000
        record.tags = frozenset(request.tags)
        record.token, record.failed_until, record.reason = "", 0.0, pb.LEASE_REASON_EXPIRED
        reached = [change for change in record.changes if change.reaches(record.tags)]
        for change in reached:
            self._drop(record, change)
        return pb.PublishResponse(outcome=pb.PUBLISH_OUTCOME_STORED, fence=fence, counts=not reached)

    def _release(self, request: pb.ReleaseRequest) -> pb.ReleaseResponse:
        record = self._record(request)
        if request.token != record.token:
            return pb.ReleaseResponse(outcome=pb.RELEASE_OUTCOME_NOT_HELD)
        record.token, record.reason = "", pb.LEASE_REASON_HOLDER_LOST
        if request.HasField("failure"):
            failure = request.failure
            backoff_ms = failure.retry_after_ms if failure.HasField("retry_after_ms") else _BACKOFF_MS
            record.failed, record.failed_until = failure.message, self._now() + backoff_ms / 1_000
            record.failed_for = record.waiting - {""}
        return pb.ReleaseResponse(outcome=pb.RELEASE_OUTCOME_RELEASED)

    def _extend(self, request: pb.ExtendRequest) -> pb.ExtendResponse:
        if request.token != self._record(request).token:
            return pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_LOST)
        return pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_EXTENDED, expires_in_ms=_LEASE_MS)

    def _explain(self, request: pb.ExplainRequest) -> pb.ExplainResponse:
        record, now = self._record(request), self._now()
        response = pb.ExplainResponse(degraded=pb.DEGRADED_NONE)
        if record.token != "":
            lease = pb.LeaseInfo(fence=int(record.token), expires_in_ms=_LEASE_MS, reason=record.reason)
            response.lease.CopyFrom(lease)
        if record.hit is not None and now < record.stale_until:
            fresh_for = max(0.0, record.fresh_until - now)
            value = pb.ValueInfo(
                absent=record.hit.absent,
                freshness=pb.FRESHNESS_FRESH if fresh_for > 0 else pb.FRESHNESS_STALE,
                size_bytes=len(record.hit.value),
                fresh_for_ms=round(fresh_for * 1_000),
                stale_for_ms=round((record.stale_until - now - fresh_for) * 1_000),
                fence=record.hit.fence,
                tags=sorted(record.tags),
            )
            response.value.CopyFrom(value)
        if now < record.failed_until:
            left_ms = round((record.failed_until - now) * 1_000)
            response.failed.CopyFrom(pb.Failed(message=record.failed, retry_after_ms=left_ms))
        return response

    def _invalidate(self, request: pb.InvalidateRequest) -> pb.InvalidateResponse:
        response, its, now = pb.InvalidateResponse(), request.namespace or "default", self._now()
        mark_stale = request.mode == pb.INVALIDATE_MODE_MARK_STALE
        change = _Change(None if request.all else frozenset(request.tags), mark_stale, now)
        for (namespace, key), record in self._records.items():
            if namespace != its:
                continue
            named = key in request.keys
            if named or request.all:
                record.failed_until = 0.0
            if named:
                response.keys_invalidated += record.hit is not None and now < record.stale_until
                response.leases_voided += self._void(record)
            elif record.token != "":
                record.changes.append(change)
            if named or change.reaches(record.tags):
                self._drop(record, change)
        return response

    def _void(self, record: _Record) -> bool:
        """Ends the lease, if there is one. An invalidation by tags or of everything ends none."""
        held = record.token != ""
        if held:
            record.voided.add(record.token)
            record.token = ""
        return held

    def _drop(self, record: _Record, change: _Change) -> None:
        record.reason = pb.LEASE_REASON_INVALIDATED
        if change.mark_stale:
            # The time between the two ends is the value's stale time, or the rest of it after an earlier mark.
            record.stale_until = min(record.stale_until, change.at + record.stale_until - record.fresh_until)
            record.fresh_until = min(record.fresh_until, change.at)
        if not change.mark_stale or record.stale_until <= self._now():
            record.hit = None


def _as(hit: pb.Hit, freshness: pb.Freshness.ValueType) -> pb.Hit:
    told = pb.Hit(freshness=freshness)
    told.MergeFrom(hit)
    return told


class _MemoryLink:
    """Carries calls to a memory."""

    def __init__(self, memory: _Memory) -> None:
        self.closed = False
        self._memory = memory

    def refuse(self) -> None:
        """Like `Link`."""
        self.closed = True

    @property
    def stub(self) -> Any:
        raise NotImplementedError("a client in memory has no stub")

    def call(self, call: Call) -> Future[Any]:
        answered: Future[Any] = Future()
        try:
            answered.set_result(self._memory.answer(call))
        except ServiceError as error:
            answered.set_exception(error)
        return answered

    def call_many(self, call: Call, answered: Callable[[Any], None]) -> Future[Any]:
        """Like `Link`. An error of one key is the error of all."""
        ended: Future[Any] = Future()
        try:
            for key in call.request.keys:
                request = pb.GetOrLockRequest(
                    namespace=call.request.namespace,
                    key=key,
                    wait_ms=call.request.wait_ms,
                    stale=call.request.stale,
                    intent=call.request.intent,
                )
                response = self._memory.answer(Call("GetOrLock", request, call.timeout))
                answered(pb.GetOrLockManyResponse(key=key, response=response))
            ended.set_result(None)
        except ServiceError as error:
            ended.set_exception(error)
        return ended

    def groups(self, keys: list[str]) -> list[list[str]]:
        """Like `Link`."""
        return [keys]

    def give_back(self, namespace: str, key: str, token: str) -> None:
        """Like `Link`."""
        self._memory.answer(Call("Release", pb.ReleaseRequest(namespace=namespace, key=key, token=token), 1.0))

    def ready(self, within: float) -> None:
        """There is nothing to connect to."""

    def close(self) -> None:
        """There is nothing to close."""

    before_fork = after_fork_in_parent = after_fork_in_child = close


class MemoryClient(Client):
    """A Client whose values are in this process's memory. Takes the options of a Client."""

    def _make_link(self) -> Any:
        self._memory = _Memory()
        return _MemoryLink(self._memory)

    def advance(self, time: Seconds) -> None:
        """Lets this much time pass for values and back-offs, at once."""
        self._memory.advance(seconds_of(time))


class AsyncMemoryClient(AsyncClient):
    """An AsyncClient whose values are in this process's memory. Takes the options of an AsyncClient."""

    def _make_link(self) -> Any:
        self._memory = _Memory()
        return _MemoryLink(self._memory)

    @property
    def stub(self) -> Any:
        """There is none."""
        return self._link.stub

    def advance(self, time: Seconds) -> None:
        """Lets this much time pass for values and back-offs, at once."""
        self._memory.advance(seconds_of(time))
