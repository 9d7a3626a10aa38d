"""What becomes of values whose codec fails, over real gRPC; both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from callers import Caller, MakeCaller, Recorder, gives, never_called, until
from fake_service import FakeService, busy, hit, lease

from dibs import JSON, BusyError, Client, UndecodableError
from dibs.v1 import coordinator_pb2 as pb


class Codec:
    """Returns the value it was made with."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def encode(self, value: Any, /) -> bytes:
        return self.made  # type: ignore[no-any-return]

    def decode(self, data: bytes, /) -> Any:
        return data


class TestACodec:
    @pytest.mark.parametrize("made", ["text", None, 7])
    async def test_that_makes_no_bytes_fails_its_caller_and_the_lease_is_given_back(
        self, fake: FakeService, caller: Caller, made: Any
    ) -> None:
        fake.will("GetOrLock", lease())
        kind = type(made).__name__
        with pytest.raises(TypeError, match=rf"the codec's encode returned {kind}: return bytes"):
            await caller.get("k", gives("v"), codec=Codec(made))
        await until(lambda: fake.requests("Release"))
        assert fake.requests("Publish") == []

    @pytest.mark.parametrize("made", [bytearray(b"v"), memoryview(b"v")])
    async def test_may_make_any_kind_of_bytes(self, fake: FakeService, caller: Caller, made: Any) -> None:
        fake.will("GetOrLock", lease())
        assert await caller.get("k", gives("v"), codec=Codec(made)) == b"v"
        assert [request.value for request in fake.requests("Publish")] == [b"v"]


def test_a_stop_iteration_of_the_rebuild_is_its_callers(fake: FakeService) -> None:
    """As of `next()` on a cursor that has no more."""
    fake.will("GetOrLock", lease())
    with Client(fake.target) as client, pytest.raises(StopIteration):
        client.get_or_rebuild("k", lambda: next(iter(())), ttl=1)
    (release,) = fake.requests("Release")
    assert release.failure.message == "StopIteration"


class TestAValueThatTheCodecCannotRead:
    async def test_is_a_miss_and_is_rebuilt(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", hit(b"<an older format>"), lease(previous=b"<an older format>"))
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives({"a": 1}), codec=JSON) == {"a": 1}
        assert [request.intent for request in fake.requests("GetOrLock")] == [pb.INTENT_REBUILD, pb.INTENT_REFRESH]
        assert hooks.of("undecodable") == ["k"]

    async def test_gives_its_caller_no_second_wait(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", fake.held(hit(b"<an older format>")), busy(60_000))
        getting = asyncio.ensure_future(caller.get("k", never_called, codec=JSON, wait=20))
        await until(lambda: fake.requests("GetOrLock"))
        await asyncio.sleep(1)
        fake.gate.set()
        with pytest.raises(BusyError):
            await getting
        first, second = fake.requests("GetOrLock")
        assert first.wait_ms > 0
        # Less by what the first one took.
        assert second.wait_ms < first.wait_ms - 900

    async def test_is_an_error_the_second_time(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", hit(b"<an older format>"))
        with pytest.raises(UndecodableError, match='the value of "k"') as raised:
            await caller.get("k", never_called, codec=JSON)
        assert isinstance(raised.value.__cause__, ValueError)
        assert len(fake.heard) == 2

    async def test_is_no_stale_value_to_serve(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(previous=b"<an older format>"))
        assert await caller.get("k", gives({"a": 1}), codec=JSON) == {"a": 1}
        assert len(fake.requests("GetOrLock")) == 1

    async def test_is_not_rebuilt_where_another_caller_has_done_it_meanwhile(
        self, fake: FakeService, caller: Caller
    ) -> None:
        """Each process that met the old value would otherwise rebuild it, one after the other."""
        newer = lease(previous=b'{"a":2}')
        newer.lease.previous.freshness = pb.FRESHNESS_FRESH
        newer.lease.previous.fence = 9
        fake.will("GetOrLock", hit(b"<an older format>"), newer)
        assert await caller.get("k", never_called, codec=JSON) == {"a": 2}
        (release,) = fake.requests("Release")
        assert not release.HasField("failure")
