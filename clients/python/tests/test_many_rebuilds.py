"""The rebuild of many keys; both clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S, Caller, MakeCaller, Recorder, Source, caller_of, never_called, until
from fake_service import NEVER, FakeService, busy, each, hit, lease, leases, published, unavailable

from dibs import (
    JSON,
    Client,
    ManyError,
    ReentrantRebuildError,
    UndecodableError,
    Value,
)
from dibs.v1 import coordinator_pb2 as pb

Leases = Mapping[str, Any]


class TestARebuildOfMany:
    async def test_that_fails_fails_for_each_key(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(leases))

        async def failing(keys: list[str]) -> dict[str, Any]:
            raise ValueError("down")

        with pytest.raises(ManyError) as caught:
            await caller.many(["a", "b"], failing)
        assert [str(error) for error in caught.value.errors.values()] == ["down", "down"]
        assert caught.value.__cause__ is caught.value.errors["a"]
        failures = {request.key: request.failure.message for request in fake.requests("Release")}
        assert failures == {"a": "down", "b": "down"}

    async def test_that_returns_no_mapping_is_told_so(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(leases))

        async def wrong(keys: list[str]) -> Any:
            return [b"v"]

        with pytest.raises(ManyError, match="returned list: return a mapping"):
            await caller.many(["a"], wrong)

    async def test_whose_value_cannot_be_encoded_fails_for_that_key(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(leases))
        with pytest.raises(ManyError) as caught:
            await caller.many(["a", "b"], Source(lambda key: {key} if key == "b" else [key]), codec=JSON)
        assert caught.value.values == {"a": ["a"]}
        assert str(caught.value.errors["b"]).startswith("value: JSON has no set")

    async def test_has_options_for_one_value(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(leases))
        made = {"a": Value(b"v", ttl=1, tags=["own"]), "b": Value(b"v", store=False), "c": b"v"}
        await caller.many(made, Source(made.__getitem__), tags=["of all"])
        stored = {request.key: (request.ttl_ms, list(request.tags)) for request in fake.requests("Publish")}
        assert stored == {"a": (1_000, ["own"]), "c": (60_000, ["of all"])}
        await until(lambda: [request.key for request in fake.requests("Release")] == ["b"])

    async def test_is_told_of_each_lease(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(lambda key: lease(f"t {key}", previous=b"1" if key == "a" else None)))
        seen: dict[str, Any] = {}

        async def rebuild(keys: list[str], told: Leases) -> dict[str, Any]:
            seen.update({key: (its.fence, its.reason, its.has_previous, its.previous) for key, its in told.items()})
            return {}

        await caller.many(["a", "b"], rebuild, codec=JSON, revalidate="await")
        assert seen == {"a": (4, "miss", True, 1), "b": (4, "miss", False, None)}

    async def test_behind_stale_values_is_one_call_too(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(lambda key: lease(f"t {key}", previous=b"old")))
        source = Source()
        source.gate.clear()
        assert await caller.many(["a", "b"], source) == {"a": b"old", "b": b"old"}
        await until(lambda: source.asked)
        assert not await caller.flush(0.05)
        source.gate.set()
        assert await caller.flush(PATIENCE_S)
        assert source.asked == [["a", "b"]]
        assert {request.key for request in fake.requests("Publish")} == {"a", "b"}

    async def test_that_loses_one_key_goes_on_for_the_others(
        self, fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hooks = Recorder()
        caller = make(hooks=hooks)
        # Their answers come so late that they are extended at once, and with so much time left that none runs out.
        monkeypatch.setattr("dibs.many_answers.monotonic", lambda: monotonic() - 41)
        fake.will("GetOrLockMany", each(lambda key: lease(f"t {key}", expires_in_ms=60_000)))
        extended = pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_EXTENDED, expires_in_ms=60_000)
        lost = pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_LOST)
        began = threading.Event()

        def extend(request: pb.ExtendRequest) -> pb.ExtendResponse:
            # A lease that is lost earlier does not get into the rebuild.
            assert began.wait(PATIENCE_S)
            return lost if request.key == "a" else extended

        fake.will("Extend", extend)
        fake.will("GetOrLock", hit(b"of another"))
        source, told = Source(), asyncio.Event()
        source.gate.clear()

        async def rebuild(keys: list[str], leases: Leases) -> dict[str, Any]:
            began.set()
            await until(leases["a"].lost.is_set)
            assert not leases["b"].lost.is_set()
            told.set()
            return await source(keys)

        calling = asyncio.ensure_future(caller.many(["a", "b"], rebuild))
        await until(told.is_set)
        await until(lambda: fake.requests("GetOrLock"))
        source.gate.set()
        assert await calling == {"a": b"of another", "b": b"value of b"}
        assert hooks.of("lease_lost") == ["a"]

    async def test_whose_publish_is_void_is_asked_for_again(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(lambda key: lease(expires_in_ms=60)))
        fake.will("Extend", unavailable())
        fake.will("Publish", published(pb.PUBLISH_OUTCOME_SUPERSEDED))
        fake.will("GetOrLock", hit(b"of another"))

        async def slow(keys: list[str], leases: Leases) -> dict[str, Any]:
            await until(leases["a"].lost.is_set)
            return {"a": b"v"}

        assert await caller.many(["a"], slow) == {"a": b"of another"}

    async def test_replaces_what_the_codec_cannot_read_once(self, fake: FakeService, make: MakeCaller) -> None:
        hooks = Recorder()
        caller = make(hooks=hooks)
        fake.will("GetOrLockMany", each(lambda key: hit(b"no JSON") if key == "a" else hit(b"1")))
        fake.will("GetOrLock", lease())
        assert await caller.many(["a", "b"], Source(lambda _: 2), codec=JSON) == {"a": 2, "b": 1}
        assert hooks.of("undecodable") == ["a"]
        fake.will("GetOrLock", hit(b"no JSON"))
        with pytest.raises(ManyError) as caught:
            await caller.many(["a", "b"], Source(lambda _: 2), codec=JSON)
        assert isinstance(caught.value.errors["a"], UndecodableError)

    async def test_that_its_only_caller_leaves_gives_the_leases_back(self, fake: FakeService, caller: Caller) -> None:
        if isinstance(caller.client, Client):
            # Its own thread is in the rebuild, and cannot leave.
            return
        fake.will("GetOrLockMany", each(leases))
        source = Source()
        source.gate.clear()
        calling = asyncio.ensure_future(caller.many(["a", "b"], source))
        await until(lambda: source.asked)
        calling.cancel()
        await asyncio.wait((calling,))
        await until(lambda: {request.key for request in fake.requests("Release")} == {"a", "b"})
        assert not any(request.HasField("failure") for request in fake.requests("Release"))

    async def test_closing_the_client_ends_it(self, fake: FakeService, make: MakeCaller) -> None:
        caller = make()
        fake.will("GetOrLockMany", each(lambda key: leases(key) if key == "a" else busy(10)), NEVER)
        source = Source()
        source.gate.clear()
        calling = asyncio.ensure_future(caller.many(["a", "b"], source))
        await until(lambda: source.asked and len(fake.requests("GetOrLockMany")) == 2)
        closing: Any = caller.client.close(0.1)
        if closing is not None:
            await closing
        source.gate.set()
        with pytest.raises(ManyError):
            await asyncio.wait_for(calling, PATIENCE_S)

    async def test_a_caller_that_waits_may_leave(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(lambda _: busy(10)), NEVER)
        calling = asyncio.ensure_future(caller.many(["a", "b"], Source(), leave_after=0.3))
        await until(lambda: calling.done() or len(fake.requests("GetOrLockMany")) == 2)
        with pytest.raises(TimeoutError):
            await calling

    async def test_that_asks_for_one_of_its_own_keys_fails_at_once(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(leases))
        client: Any = caller.client
        if isinstance(client, Client):
            with pytest.raises(ManyError) as caught:
                await asyncio.to_thread(
                    client.get_or_rebuild_many,
                    ["a", "b"],
                    lambda _: client.get_or_rebuild_many(["c", "b"], lambda _: {}, ttl=1),
                    ttl=1,
                )
        else:

            async def rebuild(_: list[str]) -> Any:
                return await client.get_or_rebuild_many(["c", "b"], never_called, ttl=1)

            with pytest.raises(ManyError) as caught:
                await client.get_or_rebuild_many(["a", "b"], rebuild, ttl=1)
        assert all(isinstance(error, ReentrantRebuildError) for error in caught.value.errors.values())


class TestAClientOfThreads:
    def test_rebuilds_in_its_callers_thread(self, fake: FakeService) -> None:
        fake.will("GetOrLockMany", each(lambda key: leases(key) if key == "a" else busy(10)), each(leases))
        threads = []

        def rebuild(keys: list[str]) -> dict[str, Any]:
            threads.append(threading.current_thread())
            return dict.fromkeys(keys, 1)

        with Client(fake.target) as client:
            assert client.get_or_rebuild_many(["a", "b"], rebuild, ttl=1) == {"a": 1, "b": 1}
        assert threads == [threading.current_thread()] * 2

    def test_that_is_interrupted_in_its_rebuild_gives_the_leases_back(self, fake: FakeService) -> None:
        fake.will("GetOrLockMany", each(leases))

        def rebuild(keys: list[str]) -> dict[str, Any]:
            raise KeyboardInterrupt

        with Client(fake.target) as client, pytest.raises(KeyboardInterrupt):
            client.get_or_rebuild_many(["a", "b"], rebuild, ttl=1)
        released = fake.requests("Release")
        assert {request.key for request in released} == {"a", "b"}
        assert not any(request.HasField("failure") for request in released)

    def test_leaves_no_thread_behind(self, fake: FakeService) -> None:
        fake.will("GetOrLockMany", each(lambda _: hit(b"1")))
        with Client(fake.target) as client:
            client.get_or_rebuild_many(["a"], lambda _: {}, ttl=1)
            before = threading.active_count()
            for _ in range(20):
                client.get_or_rebuild_many(["a"], lambda _: {}, ttl=1)
            give_up_at = monotonic() + PATIENCE_S
            while threading.active_count() > before:
                assert monotonic() < give_up_at


@pytest.mark.parametrize("kind", ["threads in memory", "loop in memory"])
async def test_the_doubles_do_the_same(kind: str) -> None:
    caller = caller_of(kind)
    source = Source()
    await caller.put("a", b"there")
    assert await caller.many(["a", "b", "c"], source) == {"a": b"there", "b": b"value of b", "c": b"value of c"}
    assert await caller.many(["a", "b", "c"], source) == {"a": b"there", "b": b"value of b", "c": b"value of c"}
    assert source.asked == [["b", "c"]]
    await caller.close()
