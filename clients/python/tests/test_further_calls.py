"""Reading only, writing through, and what the service says of a key; both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from callers import Caller, MakeCaller, Recorder, caller_of, gives, never_called, until
from fake_service import STORED, FakeService, Refusal, busy, hit, lease, published, unavailable
from grpc import StatusCode

from dibs import (
    JSON,
    BusyError,
    InvalidOptionError,
    NearCache,
    RebuildFailedError,
    ReentrantRebuildError,
    ServiceError,
    Stored,
)
from dibs.v1 import coordinator_pb2 as pb

NOTHING = "nothing"
ABSENT = pb.GetOrLockResponse(hit=pb.Hit(absent=True, freshness=pb.FRESHNESS_FRESH))
FAILED = pb.GetOrLockResponse(failed=pb.Failed(message="down", retry_after_ms=60_000))


class TestARead:
    async def test_tells_a_value_a_known_absence_and_nothing_apart(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", hit(b"v"), ABSENT, busy(10, pb.BUSY_REASON_NO_VALUE), FAILED)
        assert [await caller.find("k", NOTHING) for _ in range(4)] == [b"v", None, NOTHING, NOTHING]
        requests = fake.requests("GetOrLock")
        assert [(request.intent, request.wait_ms) for request in requests] == [(pb.INTENT_READ, 0)] * 4

    async def test_has_its_options(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", hit(b"v"))
        await caller.find("k", stale="forbid", read="store", wait=20, namespace="n")
        (request,) = fake.requests("GetOrLock")
        assert (request.namespace, request.stale, request.read) == ("n", pb.STALE_FORBID, pb.READ_STORE)
        assert 10_000 < request.wait_ms <= 20_000
        with pytest.raises(TypeError, match="ttl: no such option"):
            await caller.find("k", ttl=1)
        with pytest.raises(InvalidOptionError, match="wait_ms: -1000 is outside 0 to"):
            await caller.find("k", wait=-1)

    @pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.PERMISSION_DENIED])
    async def test_that_cannot_be_answered_is_an_error(
        self, fake: FakeService, caller: Caller, code: StatusCode
    ) -> None:
        fake.will("GetOrLock", Refusal(code))
        with pytest.raises(ServiceError, match=code.name):
            await caller.find("k")

    async def test_of_a_value_that_the_codec_cannot_read_finds_nothing(
        self, fake: FakeService, make: MakeCaller
    ) -> None:
        fake.will("GetOrLock", hit(b"no JSON"))
        hooks = Recorder()
        assert await make(hooks=hooks).find("k", NOTHING, codec=JSON) == NOTHING
        assert hooks.of("undecodable") == ["k"]

    @pytest.mark.usefixtures("live")
    async def test_takes_what_is_near(self, fake: FakeService, make_on_session: MakeCaller) -> None:
        fresh = pb.GetOrLockResponse(hit=pb.Hit(value=b"v", freshness=pb.FRESHNESS_FRESH, fresh_for_ms=60_000))
        fake.will("GetOrLock", fresh)
        near = make_on_session(near_cache=NearCache(10_000))
        for _ in range(3):
            assert await near.find("k") == b"v"
        assert len(fake.requests("GetOrLock")) == 1
        await near.find("k", read="store")
        assert len(fake.requests("GetOrLock")) == 2

    async def test_gets_no_error_of_a_rebuild_of_this_process(self, fake: FakeService, caller: Caller) -> None:
        begun, opened = asyncio.Event(), asyncio.Event()

        async def rebuild(_: Any) -> Any:
            begun.set()
            await opened.wait()
            raise KeyError("row")

        fake.will("GetOrLock", lease(), FAILED)
        call = asyncio.ensure_future(caller.get("k", rebuild))
        await begun.wait()
        read = asyncio.ensure_future(caller.find("k", NOTHING, wait=20))
        await until(lambda: len(fake.requests("GetOrLock")) == 2)
        opened.set()
        assert await read == NOTHING
        with pytest.raises(KeyError):
            await call

    async def test_within_its_own_rebuild_does_not_wait_for_itself(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(), busy(10))

        async def rebuild(_: Any) -> Any:
            assert await caller.find("k", NOTHING) == NOTHING
            return b"v"

        assert await caller.get("k", rebuild) == b"v"


class TestASet:
    async def test_stores_under_a_lease_of_its_own(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease("t", previous=b"old"))
        assert await caller.put("k", b"v", ttl=2, stale_ttl=3, tags=["t"]) == Stored("stored", True)
        (asked,), (request,) = fake.requests("GetOrLock"), fake.requests("Publish")
        assert asked.intent == pb.INTENT_REFRESH
        assert (request.token, request.value, request.ttl_ms, request.stale_ms) == ("t", b"v", 2_000, 3_000)
        assert list(request.tags) == ["t"]
        await caller.put("k", None)
        assert fake.requests("Publish")[1].absent

    @pytest.mark.parametrize(
        ("outcome", "word", "stored"),
        [
            (pb.PUBLISH_OUTCOME_STORED_LATE, "stored_late", True),
            (pb.PUBLISH_OUTCOME_DUPLICATE, "duplicate", True),
            (pb.PUBLISH_OUTCOME_SUPERSEDED, "superseded", False),
            (pb.PUBLISH_OUTCOME_NOT_STORED, "not_stored", False),
        ],
    )
    async def test_says_what_became_of_it(
        self, fake: FakeService, caller: Caller, outcome: int, word: str, stored: bool
    ) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", published(outcome))
        assert await caller.put("k", b"v") == Stored(word, stored)

    @pytest.mark.parametrize(
        ("value", "options", "message"),
        [
            (b"v", {"ttl": 0}, "ttl_ms: 0 is outside 1 to 31536000000"),
            (b"v", {"stale_ttl": -1}, "stale_ms: -1000 is outside 0 to 31536000000"),
            (b"v", {"tags": [""]}, "tags"),
            (b"v", {"refresh": True}, "refresh: no such option"),
            ({1}, {"codec": JSON}, "value: JSON has no set"),
        ],
    )
    async def test_is_refused_before_anything_is_sent(
        self, fake: FakeService, caller: Caller, value: Any, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises((InvalidOptionError, TypeError), match=message):
            await caller.put("k", value, **options)
        assert fake.heard == []

    async def test_is_published_again_where_no_answer_came(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", unavailable(), unavailable(20), STORED)
        assert (await caller.put("k", b"v")).stored
        fake.heard.clear()
        fake.will("Publish", unavailable())
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            await caller.put("k", b"v")
        assert len(fake.requests("Publish")) == 4
        await until(lambda: fake.requests("Release"))

    async def test_that_the_service_refuses_gives_its_lease_back(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", Refusal(StatusCode.RESOURCE_EXHAUSTED, "value: too large"))
        with pytest.raises(ServiceError, match="value: too large"):
            await caller.put("k", b"v")
        await until(lambda: fake.requests("Release"))
        assert len(fake.requests("Publish")) == 1

    async def test_waits_for_a_rebuild_that_runs(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", busy(10), lease())
        assert (await caller.put("k", b"v", wait=5)).stored
        fake.will("GetOrLock", busy(1_000))
        with pytest.raises(BusyError):
            await caller.put("k", b"v", wait=0)
        fake.will("GetOrLock", FAILED)
        with pytest.raises(RebuildFailedError, match="down"):
            await caller.put("k", b"v")

    async def test_is_newer_than_a_rebuild_of_this_process(self, fake: FakeService, caller: Caller) -> None:
        gate = asyncio.Event()

        async def rebuild(_: Any) -> bytes:
            await gate.wait()
            return b"old"

        fake.will("GetOrLock", lease("old"))
        first = asyncio.ensure_future(caller.get("k", rebuild))
        await until(lambda: caller.client._rebuilds._running)
        fake.will("GetOrLock", lease("new"))
        await caller.put("k", b"new")
        fake.will("GetOrLock", hit(b"new"))
        # One that comes now joins the older rebuild no more.
        assert await caller.get("k", never_called) == b"new"
        gate.set()
        assert await first == b"old"

    async def test_of_a_key_in_its_own_rebuild_fails_at_once(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease())
        caller = caller_of("loop", target=fake.target)

        async def rebuild(_: Any) -> Any:
            return await caller.put("k", b"v")

        with pytest.raises(ReentrantRebuildError):
            await caller.get("k", rebuild)
        await caller.close()


class TestAnExplanation:
    async def test_says_it_in_words_and_seconds(self, fake: FakeService, caller: Caller) -> None:
        said = pb.ExplainResponse(
            lease=pb.LeaseInfo(holder="h", fence=3, age_ms=1_500, expires_in_ms=500, reason=pb.LEASE_REASON_EXPIRED),
            waiters=2,
            value=pb.ValueInfo(size_bytes=7, freshness=pb.FRESHNESS_STALE, age_ms=9_000, stale_for_ms=50, tags=["t"]),
            fence=3,
            past_leases=[pb.PastLease(holder="p", held_ms=250, end=pb.LEASE_END_FAILED, failure_message="no")],
            failed=pb.Failed(message="no", retry_after_ms=100),
            degraded=pb.DEGRADED_STORE_LOST,
        )
        fake.will("Explain", said)
        its = await caller.explain("k")
        assert its.lease is not None
        assert (its.lease.holder, its.lease.age, its.lease.expires_in, its.lease.reason) == ("h", 1.5, 0.5, "expired")
        assert its.value is not None
        assert (its.value.absent, its.value.freshness, its.value.size_bytes) == (False, "stale", 7)
        assert its.value.tags == ("t",)
        assert (its.value.age, its.value.fresh_for, its.value.stale_for) == (9.0, 0.0, 0.05)
        (past,) = its.past_leases
        assert (past.holder, past.held, past.end, past.failure) == ("p", 0.25, "failed", "no")
        assert (its.waiters, its.fence, its.failure, its.retry_after, its.degraded) == (2, 3, "no", 0.1, "store_lost")
        fake.will("Explain", pb.ExplainResponse())
        its = await caller.explain("k")
        assert (its.lease, its.value, its.past_leases, its.failure, its.retry_after) == (None, None, (), None, None)

    async def test_is_asked_for_again_where_a_replica_broke_off(self, fake: FakeService, caller: Caller) -> None:
        fake.will("Explain", unavailable(), pb.ExplainResponse(waiters=1))
        assert (await caller.explain("k")).waiters == 1
        fake.will("Explain", unavailable())
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            await caller.explain("k")


@pytest.mark.parametrize("kind", ["threads in memory", "loop in memory"])
async def test_the_doubles_do_the_same(kind: str) -> None:
    caller = caller_of(kind)
    assert await caller.find("k", NOTHING) == NOTHING
    assert (await caller.explain("k")).value is None
    assert (await caller.put("k", b"v", tags=["t"])).stored
    assert await caller.find("k", NOTHING) == await caller.get("k", never_called) == b"v"
    value = (await caller.explain("k")).value
    assert value is not None
    assert (value.size_bytes, value.freshness, value.tags) == (1, "fresh", ("t",))
    assert (await caller.put("k", None)).stored
    assert await caller.find("k", NOTHING) is None
    caller.client.advance(61)  # type: ignore[union-attr]
    assert await caller.find("k", NOTHING) == NOTHING
    assert await caller.get("k", gives(b"w")) == b"w"
    await caller.close()
