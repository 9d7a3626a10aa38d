"""Many keys, whose replicas do not all answer; both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from callers import Caller, MakeCaller, Source, until
from fake_service import EXTENDED, RELEASED, STORED, FakeService, busy, each, hit, leases
from replicas import listing, until_answer

from dibs.v1 import coordinator_pb2 as pb


class TestAReplicaThatHangs:
    @pytest.fixture
    async def hangs(
        self, start: Callable[..., FakeService], make_on_session: MakeCaller, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[Caller, FakeService, FakeService, list[str]]:
        """A caller of two replicas, the one that answers, the one that does not until its gate is open, and keys."""
        monkeypatch.setattr("dibs.many_answers._LOOK_S_MAX", 0.05)
        monkeypatch.setattr("dibs.many_answers.WAY_S", 0.05)
        one, two = start("one"), start("two")
        for service in (one, two):
            service.will("Publish", STORED)
            service.will("Release", RELEASED)
            service.will("Extend", EXTENDED)

        def late(request: object) -> object:
            two.gate.wait(120)
            return each(lambda _: hit(b"at last"))(request)

        caller = make_on_session(target=listing(one, two))
        of = {who: key for key, who in (await until_answer(caller, "one", "two")).items()}
        two.will("GetOrLockMany", late)
        return caller, one, two, [of["one"], of["two"]]

    async def test_does_not_hold_up_the_rebuild_of_other_keys(
        self, hangs: tuple[Caller, FakeService, FakeService, list[str]]
    ) -> None:
        caller, one, two, keys = hangs
        one.will("GetOrLockMany", each(leases))
        source = Source()
        calling = asyncio.ensure_future(caller.many(keys, source, wait=300))
        await until(lambda: source.asked)
        assert source.asked == [keys[:1]]
        two.gate.set()
        assert await calling == {keys[0]: f"value of {keys[0]}".encode(), keys[1]: b"at last"}

    async def test_does_not_use_up_the_wait_of_keys_that_others_rebuild(
        self, hangs: tuple[Caller, FakeService, FakeService, list[str]]
    ) -> None:
        caller, one, two, keys = hangs
        one.will("GetOrLockMany", each(lambda _: busy(10)), each(lambda _: hit(b"theirs")))
        calling = asyncio.ensure_future(caller.many(keys, Source(), wait=20))
        await until(lambda: len(one.requests("GetOrLockMany")) == 2)
        assert one.requests("GetOrLockMany")[1].wait_ms > 0
        two.gate.set()
        assert await calling == {keys[0]: b"theirs", keys[1]: b"at last"}


async def test_a_lease_that_comes_again_from_another_replica_is_not_given_back(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one, two = start("one"), start("two")
    for service in (one, two):
        service.will("Publish", STORED)
        service.will("Release", RELEASED)
    caller = make_on_session(target=listing(one, two), session=False, on_unavailable="fail")
    by_key = await until_answer(caller, "one", "two")
    keys = [key for key, who in by_key.items() if who == "one"][:2]

    def breaks_off(_: object) -> Iterator[pb.GetOrLockManyResponse]:
        yield pb.GetOrLockManyResponse(key=keys[0], response=leases(keys[0]))
        one._server.stop(None)
        one.gate.wait(30)

    one.will("GetOrLockMany", breaks_off)
    two.will("GetOrLockMany", each(leases))
    source = Source()
    assert await caller.many(keys, source) == {key: f"value of {key}".encode() for key in keys}
    assert source.asked == [sorted(keys)]
    assert two.requests("Release") == []
