"""Leases that are lost before their rebuild begins, or held for too long; both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from callers import MakeCaller, Recorder, Source, never_called, until, until_lost
from fake_service import FakeService, each, hit, lease, leases

from dibs import BYTES, AsyncClient
from dibs.rebuilding import LOST_KEPT_MAX, Rebuilds
from dibs.v1 import coordinator_pb2 as pb


def lost(key: str, token: str) -> pb.LeaseLost:
    return pb.LeaseLost(namespace="default", key=key, token=token)


class TestALossThatComesBeforeItsRebuildBegins:
    async def test_is_asked_for_again_at_once(self, fake: FakeService, make_on_session: MakeCaller) -> None:
        hooks = Recorder()
        caller = make_on_session(hooks=hooks)

        def lost_at_once(_: Any) -> pb.GetOrLockResponse:
            fake.sessions[0].tell(pb.SessionEvent(lease_lost=lost("k", "t")))
            return lease("t")

        fake.will("GetOrLock", lost_at_once, hit(b"theirs"))
        assert await caller.get("k", never_called) == b"theirs"
        assert hooks.of("lease_lost") == ["k"]
        assert fake.requests("Publish") == []

    async def test_is_also_for_one_of_many_keys(self, fake: FakeService, make_on_session: MakeCaller) -> None:
        caller = make_on_session()

        def one_lost(request: pb.GetOrLockManyRequest) -> Any:
            fake.sessions[0].tell(pb.SessionEvent(lease_lost=lost("a", "token of a")))
            return each(leases)(request)

        fake.will("GetOrLockMany", one_lost)
        fake.will("GetOrLock", hit(b"theirs"))
        source = Source()
        assert await caller.many(["a", "b"], source) == {"a": b"theirs", "b": b"value of b"}
        assert source.asked == [["b"]]
        assert [request.key for request in fake.requests("Publish")] == ["b"]

    def test_is_remembered_for_a_bounded_number_of_leases(self) -> None:
        rebuilds = Rebuilds()
        for at in range(LOST_KEPT_MAX + 1):
            rebuilds.lost(lost("k", f"{at}"))
        assert list(rebuilds._lost_before) == [f"{at}" for at in range(1, LOST_KEPT_MAX + 1)]


@pytest.mark.parametrize("many", [False, True])
async def test_a_call_whose_callers_have_left_does_not_ask_again(fake: FakeService, many: bool) -> None:
    client, begun = AsyncClient(fake.target), asyncio.Event()

    async def hangs(*_: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async def call(rebuild: Any) -> Any:
        return await client.get_or_rebuild("k", rebuild, ttl=60, codec=BYTES)

    fake.will("GetOrLock", *([] if many else [lease("t")]), hit(b"theirs"))
    fake.will("GetOrLockMany", each(lambda _: lease("t")))
    first = asyncio.create_task(client.get_or_rebuild_many(["k"], hangs, ttl=60) if many else call(hangs))
    await begun.wait()
    joined = asyncio.create_task(call(never_called))
    await until(lambda: client._rebuilds._running["default", "k"].joined == 1)
    first.cancel()
    await asyncio.wait((first,))
    # The caller that joined asks for itself.
    fake.sessions[0].tell(pb.SessionEvent(lease_lost=lost("k", "t")))
    assert await joined == b"theirs"
    await client.close()
    assert len(fake.requests("GetOrLock")) == (1 if many else 2)


@pytest.mark.parametrize("sessions", [False, True])
async def test_a_lease_that_was_held_for_too_long_is_given_back(
    fake: FakeService, make_on_session: MakeCaller, sessions: bool
) -> None:
    fake.will("GetOrLock", lease("held"), hit(b"theirs"))
    caller = make_on_session(lease_hold_max=0.2, session=sessions)
    assert await caller.get("k", until_lost) == b"theirs"
    # Others need not wait until it expires, and a rebuild that hangs is no failure.
    await until(lambda: fake.requests("Release"))
    (release,) = fake.requests("Release")
    assert (release.key, release.token, release.HasField("failure")) == ("k", "held", False)
