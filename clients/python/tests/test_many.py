"""Many keys at once; both clients."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest
from callers import Caller, MakeCaller, Source, until
from fake_service import FakeService, Refusal, busy, each, hit, leases, unavailable
from grpc import StatusCode

from dibs import (
    BusyError,
    InvalidOptionError,
    ManyError,
    NearCache,
    ServiceError,
)
from dibs.v1 import coordinator_pb2 as pb

UNDECIDED = busy(10, pb.BUSY_REASON_UNDECIDED)


class TestManyKeys:
    async def test_that_are_missing_are_rebuilt_by_one_call(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(leases))
        source = Source()
        values = await caller.many(["b", "a", "b", "c"], source, tags=["t"])
        assert list(values.items()) == [("b", b"value of b"), ("a", b"value of a"), ("c", b"value of c")]
        assert source.asked == [["a", "b", "c"]]
        (asked,) = fake.requests("GetOrLockMany")
        assert (list(asked.keys), asked.wait_ms, asked.intent) == (["b", "a", "c"], 0, pb.INTENT_REBUILD)
        stored = {request.key: (request.token, request.value) for request in fake.requests("Publish")}
        assert stored == {key: (f"token of {key}", f"value of {key}".encode()) for key in "abc"}

    async def test_of_which_some_are_there_ask_the_source_for_the_others(
        self, fake: FakeService, caller: Caller
    ) -> None:
        absent = pb.GetOrLockResponse(hit=pb.Hit(absent=True, freshness=pb.FRESHNESS_FRESH))
        answers = {"hit": hit(b"v"), "absent": absent, "missing": leases("missing")}
        fake.will("GetOrLockMany", each(answers.__getitem__))
        source = Source()
        assert await caller.many(answers, source) == {"hit": b"v", "absent": None, "missing": b"value of missing"}
        assert source.asked == [["missing"]]

    async def test_that_the_source_leaves_out_are_absent(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(leases))

        async def some(keys: list[str]) -> dict[str, Any]:
            return {"a": b"v", "b": None}

        assert await caller.many(["abc"], some) == {"abc": None}
        assert await caller.many(list("abc"), some) == {"a": b"v", "b": None, "c": None}
        assert {request.key: request.absent for request in fake.requests("Publish")[1:]} == {
            "a": False,
            "b": True,
            "c": True,
        }

    async def test_may_be_none(self, fake: FakeService, caller: Caller) -> None:
        assert await caller.many([], Source()) == {}
        assert fake.heard == []

    async def test_are_asked_for_a_thousand_at_once(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(lambda key: hit(key.encode())))
        keys = [f"{at}" for at in range(2_001)]
        values = await caller.many(keys, Source())
        assert list(values) == keys
        assert values["2000"] == b"2000"
        assert sorted(len(request.keys) for request in fake.requests("GetOrLockMany")) == [1, 1_000, 1_000]

    async def test_that_others_rebuild_are_waited_for_while_these_are_rebuilt(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLockMany", each({"a": leases("a"), "b": busy(10)}.__getitem__), fake.held(None))
        source = Source()

        def waited(request: pb.GetOrLockManyRequest) -> Any:
            fake.gate.wait(30)
            return each(lambda _: hit(b"of another"))(request)

        fake.will("GetOrLockMany", each({"a": leases("a"), "b": busy(10)}.__getitem__), waited)
        calling = asyncio.ensure_future(caller.many(["a", "b"], source, wait=20))
        await until(lambda: fake.requests("Publish"))
        assert source.asked == [["a"]]
        look, wait = fake.requests("GetOrLockMany")
        assert (list(wait.keys), look.request_id) == (["b"], wait.request_id)
        assert 15_000 < wait.wait_ms <= 20_000
        fake.gate.set()
        assert await calling == {"a": b"value of a", "b": b"of another"}

    async def test_whose_leases_come_later_are_rebuilt_by_one_more_call(
        self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The second of them comes within this time, however busy the machine is.
        monkeypatch.setattr("dibs.many_rebuilds._GATHER_S_MIN", 1.0)
        fake.will("GetOrLockMany", each(lambda key: leases(key) if key == "a" else busy(10)), each(leases))
        source = Source()
        await caller.many(["a", "b", "c"], source)
        assert source.asked == [["a"], ["b", "c"]]

    async def test_that_stay_undecided_are_asked_for_no_longer_than_their_caller_waits(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLockMany", each(lambda _: UNDECIDED))
        fake.will("GetOrLock", UNDECIDED)
        began_at = monotonic()
        with pytest.raises(ManyError):
            await caller.many(["a", "b"], Source(), wait=0.1)
        assert monotonic() - began_at < 10

    async def test_about_which_the_service_has_not_decided_are_asked_for_again(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLockMany", each(lambda key: leases(key) if key == "a" else UNDECIDED), each(leases))
        source = Source()
        await caller.many(["a", "b"], source)
        assert source.asked == [["a", "b"]]
        assert [request.wait_ms for request in fake.requests("GetOrLockMany")] == [0, 0]

    async def test_have_one_wait(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", each(lambda key: leases(key) if key == "a" else busy(60_000)))
        for wait in (0, 0.3):
            started = monotonic()
            with pytest.raises(ManyError) as caught:
                await caller.many(["a", "b"], Source(), wait=wait)
            assert monotonic() - started < 20
            assert caught.value.values == {"a": b"value of a"}
            assert isinstance(caught.value.errors["b"], BusyError)
            assert str(caught.value).startswith('1 of 2 keys failed; "b": no answer within the wait')

    @pytest.mark.usefixtures("live")
    async def test_that_are_near_are_not_asked_for(self, fake: FakeService, make_on_session: MakeCaller) -> None:
        fresh = pb.GetOrLockResponse(hit=pb.Hit(value=b"v", freshness=pb.FRESHNESS_FRESH, fresh_for_ms=60_000))
        fake.will("GetOrLockMany", each(lambda _: fresh))
        near = make_on_session(near_cache=NearCache(10_000))
        for keys in (["a"], ["a", "b"], ["a", "b"]):
            assert await near.many(keys, Source()) == dict.fromkeys(keys, b"v")
        assert [list(request.keys) for request in fake.requests("GetOrLockMany")] == [["a"], ["b"]]

    async def test_are_asked_for_again_where_a_replica_broke_off(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", unavailable(), each(lambda _: hit(b"v")))
        assert await caller.many(["a", "b"], Source()) == {"a": b"v", "b": b"v"}

    async def test_without_the_service_are_rebuilt_by_one_call(
        self, fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Each key is asked for once more, which takes a while on a busy machine.
        monkeypatch.setattr("dibs.many_rebuilds._FIRST_S_MAX", 60.0)
        monkeypatch.setattr("dibs.away._KEPT_S_MAX", 60.0)
        fake.will("GetOrLockMany", unavailable())
        fake.will("GetOrLock", unavailable())
        caller, source = make(), Source()
        keys = [f"{at}" for at in range(50)]
        assert len(await caller.many(keys, source)) == 50
        assert source.asked == [sorted(keys)]
        # What was rebuilt serves the next callers.
        assert await caller.many([*keys, "new"], source) == {k: f"value of {k}".encode() for k in [*keys, "new"]}
        assert source.asked[1:] == [["new"]]
        with pytest.raises(ManyError) as caught:
            await caller.many(["other"], source, on_unavailable="fail")
        assert isinstance(caught.value.errors["other"], ServiceError)

    async def test_that_the_service_refuses_are_its_error(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLockMany", Refusal(StatusCode.PERMISSION_DENIED, "not yours"))
        with pytest.raises(ManyError) as caught:
            await caller.many(["a", "b"], Source())
        assert {key: str(error) for key, error in caught.value.errors.items()} == dict.fromkeys(
            "ab", "PERMISSION_DENIED: not yours"
        )
        refused = pb.CallError(code=StatusCode.RESOURCE_EXHAUSTED.value[0], message="too many waiters")
        fake.will("GetOrLockMany", each(lambda key: hit(b"v") if key == "a" else refused))
        with pytest.raises(ManyError) as caught:
            await caller.many(["a", "b"], Source())
        assert caught.value.values == {"a": b"v"}
        assert str(caught.value.errors["b"]) == "RESOURCE_EXHAUSTED: too many waiters"

    async def test_are_checked_before_anything_is_sent(self, fake: FakeService, caller: Caller) -> None:
        with pytest.raises(InvalidOptionError, match="ttl_ms: 0 is outside 1"):
            await caller.many(["a"], Source(), ttl=0)
        with pytest.raises(TypeError, match="keys: give a list"):
            await caller.many("abc", Source())
        with pytest.raises(TypeError, match=r"keys\[1\]: 7 is not a string"):
            await caller.many(["a", 7], Source())
        assert fake.heard == []
