"""A service that is away, and comes back; both clients."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from callers import Caller, Context, MakeCaller, Recorder, fails, gives, never_called, until
from fake_service import FakeService, hit, unavailable

from dibs import BusyError, ServiceError, Value
from dibs.v1 import coordinator_pb2 as pb


class Counted:
    """A rebuild that counts."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, _: Context) -> bytes:
        self.calls += 1
        return b"v%d" % self.calls


class TestAResultThatWasMadeWithoutTheService:
    async def test_serves_the_next_callers_too(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", unavailable())
        rebuild = Counted()
        assert [await caller.get("k", rebuild) for _ in range(3)] == [b"v1"] * 3
        assert await caller.get("k", rebuild, namespace="another") == b"v2"

    async def test_is_kept_no_longer_than_its_ttl(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", unavailable())
        rebuild = Counted()
        await caller.get("k", rebuild, ttl=0.05)
        await asyncio.sleep(0.06)
        assert await caller.get("k", rebuild, ttl=0.05) == b"v2"

    async def test_nor_longer_than_some_seconds(
        self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.will("GetOrLock", unavailable())
        monkeypatch.setattr("dibs.away._KEPT_S_MAX", 0.05)
        rebuild = Counted()
        await caller.get("k", rebuild)
        await asyncio.sleep(0.06)
        assert await caller.get("k", rebuild) == b"v2"

    async def test_is_dropped_when_the_service_answers_again(self, fake: FakeService, caller: Caller) -> None:
        rebuild = Counted()
        fake.will("GetOrLock", unavailable())
        await caller.get("k", rebuild)
        fake.will("GetOrLock", hit(b"theirs"))
        assert await caller.get("another", never_called) == b"theirs"
        fake.will("GetOrLock", unavailable())
        assert await caller.get("k", rebuild) == b"v2"

    async def test_is_not_kept_where_the_service_was_back_meanwhile(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", unavailable())

        async def rebuild(_: Context) -> bytes:
            fake.will("GetOrLock", hit(b"theirs"))
            assert await caller.get("another", never_called) == b"theirs"
            fake.will("GetOrLock", unavailable())
            assert await caller.get("a third", gives(b"mine")) == b"mine"
            return b"old"

        assert await caller.get("k", rebuild) == b"old"
        assert await caller.get("k", gives(b"new")) == b"new"

    @pytest.mark.parametrize("invalidation", [{"keys": ["k"]}, {"tags": ["t"]}, {"all": True}])
    async def test_is_dropped_by_the_clients_own_invalidation_although_that_fails(
        self, fake: FakeService, caller: Caller, invalidation: dict[str, Any]
    ) -> None:
        fake.will("GetOrLock", unavailable())
        fake.will("Invalidate", unavailable())
        rebuild = Counted()
        await caller.get("k", rebuild)
        with pytest.raises(ServiceError):
            await caller.invalidate(**invalidation)
        assert await caller.get("k", rebuild) == b"v2"

    async def test_is_not_kept_where_it_is_older_than_an_invalidation(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", unavailable())
        fake.will("Invalidate", unavailable())

        async def rebuild(_: Context) -> bytes:
            with pytest.raises(ServiceError):
                await caller.invalidate(["k"])
            return b"old"

        assert await caller.get("k", rebuild) == b"old"
        assert await caller.get("k", gives(b"new")) == b"new"

    @pytest.mark.parametrize("options", [{"read": "store"}, {"refresh": True}])
    async def test_is_not_for_callers_that_want_the_newest(
        self, fake: FakeService, caller: Caller, options: dict[str, Any]
    ) -> None:
        fake.will("GetOrLock", unavailable())
        rebuild = Counted()
        await caller.get("k", rebuild)
        assert await caller.get("k", rebuild, **options) == b"v2"

    async def test_is_not_kept_where_it_is_a_failure_or_not_to_be_stored(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLock", unavailable())
        with pytest.raises(KeyError):
            await caller.get("k", fails(KeyError("row")))
        assert await caller.get("k", gives(Value(b"only mine", store=False))) == b"only mine"
        assert await caller.get("k", gives(b"v")) == b"v"


async def test_a_local_rebuild_keeps_no_caller_beyond_its_own_wait(fake: FakeService, caller: Caller) -> None:
    fake.will("GetOrLock", unavailable())
    begun, gate = asyncio.Event(), asyncio.Event()

    async def rebuild(_: Context) -> bytes:
        begun.set()
        await gate.wait()
        return b"v"

    call = asyncio.create_task(caller.get("k", rebuild))
    await begun.wait()
    with pytest.raises(BusyError) as raised:
        await caller.get("k", never_called, wait=0)
    assert raised.value.reason == "wait_ended"
    gate.set()
    assert await call == b"v"


async def test_each_change_is_logged_once(
    fake: FakeService, make: MakeCaller, caplog: pytest.LogCaptureFixture
) -> None:
    caller = make(hooks=Recorder())
    with caplog.at_level(logging.WARNING, "dibs"):
        for answer in (unavailable(), hit(b"v"), unavailable()):
            fake.will("GetOrLock", answer)
            for at in range(3):
                await caller.get(f"{at}", gives(b"v"))
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    assert f"the service at {fake.target} cannot be reached" in said[0]
    assert said[1] == f"the service at {fake.target} answers again"
    await until(lambda: True)


async def test_an_invalidation_is_asked_for_again_where_a_replica_broke_off_or_the_store_was_late(
    fake: FakeService, caller: Caller
) -> None:
    fake.will("Invalidate", unavailable(), unavailable(1), pb.InvalidateResponse(keys_invalidated=1))
    assert (await caller.invalidate(["k"])).keys_invalidated == 1


async def test_but_not_for_ever(fake: FakeService, caller: Caller) -> None:
    fake.will("Invalidate", unavailable(60_000))
    with pytest.raises(ServiceError, match="UNAVAILABLE"):
        await caller.invalidate(["k"])
    assert len(fake.requests("Invalidate")) == 1
