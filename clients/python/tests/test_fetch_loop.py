"""Over real gRPC, from a service that answers what a real one answers only on a bad day; both clients."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from callers import PATIENCE_S, Caller, Context, MakeCaller, Recorder, gives, joined, never_called, until
from fake_service import (
    DUPLICATE,
    NEVER,
    STORED,
    FakeService,
    Refusal,
    busy,
    hit,
    lease,
    unavailable,
)

from dibs import BusyError, Hooks, RebuildFailedError, ServiceError
from dibs.v1 import coordinator_pb2 as pb


class TestLeaving:
    async def test_takes_the_wait_at_the_service_along(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", NEVER)
        # On a busy machine, a call by itself may be recalled before it was sent.
        while not fake.heard:
            with pytest.raises(TimeoutError):
                await caller.get("k", never_called, leave_after=0.1)
        await until(lambda: fake.heard[0].cancelled)

    async def test_ends_a_pause(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", busy(10_000))
        with pytest.raises(TimeoutError):
            await caller.get("k", never_called, leave_after=0.2)

    async def test_gives_back_a_lease_that_comes_at_that_moment(self, fake: FakeService, caller: Caller) -> None:
        """Whether it was the service's to take back, or the client's to give back: no caller rebuilds."""
        fake.will("GetOrLock", fake.held(lease()))
        with pytest.raises(TimeoutError):
            await caller.get("k", never_called, leave_after=0.1)
        fake.gate.set()
        await caller.close()
        assert fake.requests("Publish") == []


class TestWaiting:
    async def test_asks_again_as_long_as_there_is_time_as_one_call(self, fake: FakeService, caller: Caller) -> None:
        full = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", 1)
        fake.will("GetOrLock", busy(1), full, unavailable(1), pb.GetOrLockResponse(), hit(b"v"))
        assert await caller.get("k", never_called, wait=20) == b"v"
        asked = fake.requests("GetOrLock")
        assert len(asked) == 5
        assert len({request.request_id for request in asked}) == 1
        waits = [request.wait_ms for request in asked]
        assert waits == sorted(waits, reverse=True)
        assert waits[-1] < 20_000

    async def test_does_not_outlast_the_time_to_come_back(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", busy(5_000))
        with pytest.raises(BusyError) as raised:
            await caller.get("k", never_called, wait=1)
        error = raised.value
        assert (error.reason, error.retry_after, error.holder_age) == ("wait_ended", 5.0, 0.007)
        assert len(fake.heard) == 1

    async def test_longer_than_the_service_does_is_asked_for_in_pieces(
        self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The bounds of a piece, moved, so that the test need not wait for one.
        monkeypatch.setattr("dibs.fetch_loop._PIECE_S_MIN", 0.0)
        fake.will("GetOrLock", busy(500_000), busy(500_000), hit(b"v"))
        assert await caller.get("k", never_called, wait=60) == b"v"
        asked = fake.requests("GetOrLock")
        assert len(asked) == 3
        assert not any(request.HasField("wait_ms") for request in asked)
        assert len({request.request_id for request in asked}) == 1

    async def test_in_pieces_outlasts_a_rebuild_that_takes_longer_than_a_piece(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLock", busy(1, pb.BUSY_REASON_DEADLINE_TOO_SHORT), hit(b"v"))
        assert await caller.get("k", never_called, wait=60) == b"v"

    async def test_in_pieces_ends_with_the_callers_own(
        self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dibs.fetch_loop._PIECE_S", 0.01)
        monkeypatch.setattr("dibs.fetch_loop._PIECE_S_MIN", 0.0)
        fake.will("GetOrLock", busy(500_000))
        with pytest.raises(BusyError) as raised:
            await caller.get("k", never_called, wait=0.1)
        assert raised.value.reason == "wait_ended"

    async def test_is_asked_for_in_pieces_where_the_service_says_that_it_is_too_long(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLock", Refusal(grpc.StatusCode.INVALID_ARGUMENT, "wait_ms: 20000 is outside 0 to 5"), hit(b"v"))
        assert await caller.get("k", never_called, wait=20) == b"v"
        first, second = fake.requests("GetOrLock")
        assert first.HasField("wait_ms")
        assert not second.HasField("wait_ms")

    @pytest.mark.parametrize(
        ("reason", "word"),
        [(pb.BUSY_REASON_DEADLINE_TOO_SHORT, "deadline_too_short"), (pb.BUSY_REASON_NO_VALUE, "no_value")],
    )
    async def test_ends_at_once_where_it_cannot_succeed(
        self, fake: FakeService, caller: Caller, reason: int, word: str
    ) -> None:
        fake.will("GetOrLock", busy(1, reason))
        with pytest.raises(BusyError) as raised:
            await caller.get("k", never_called, wait=20)
        assert raised.value.reason == word
        assert len(fake.heard) == 1

    @pytest.mark.parametrize("answer", [pb.GetOrLockResponse(), busy(0, 99)])
    async def test_what_a_later_service_says_counts_as_busy(
        self, fake: FakeService, caller: Caller, answer: pb.GetOrLockResponse
    ) -> None:
        fake.will("GetOrLock", answer)
        with pytest.raises(BusyError) as raised:
            await caller.get("k", never_called, wait=0)
        assert raised.value.reason == "unspecified"

    async def test_another_ones_failure_ends_it(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", pb.GetOrLockResponse(failed=pb.Failed(message="no row", retry_after_ms=1_500)))
        with pytest.raises(RebuildFailedError, match="no row") as raised:
            await caller.get("k", never_called)
        assert raised.value.retry_after == 1.5

    async def test_bad_input_ends_it(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", Refusal(grpc.StatusCode.INVALID_ARGUMENT, "key: too long"))
        with pytest.raises(ServiceError, match="key: too long") as raised:
            await caller.get("k", never_called)
        assert (raised.value.code, raised.value.retry_after) == ("INVALID_ARGUMENT", None)


class TestAServiceThatBreaksOff:
    async def test_is_asked_once_more_as_the_same_call(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", unavailable(), hit(b"v"))
        assert await caller.get("k", never_called) == b"v"
        first, second = fake.requests("GetOrLock")
        assert first.request_id == second.request_id

    async def test_twice_is_done_without(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", unavailable())
        hooks, seen = Recorder(), []

        async def rebuild(context: Context) -> bytes:
            seen.append((context.fence, context.reason, context.has_previous))
            return b"mine"

        assert await make(hooks=hooks).get("k", rebuild) == b"mine"
        assert seen == [(0, "local", False)]
        assert hooks.told == [("local_rebuild", "k")]
        assert [heard.method for heard in fake.heard] == ["GetOrLock", "GetOrLock"]

    async def test_is_done_without_by_one_at_a_time(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", fake.held(unavailable()))
        opened, rebuilds = asyncio.Event(), []

        async def rebuild(_: Context) -> bytes:
            rebuilds.append(1)
            await opened.wait()
            return b"mine"

        calls = [asyncio.create_task(caller.get("k", rebuild, refresh=True)) for _ in range(5)]
        # Only a rebuild that begins after all of them is new enough for all.
        await until(lambda: len(fake.heard) == 5)
        fake.gate.set()
        await joined(caller, 4)
        opened.set()
        assert await asyncio.gather(*calls) == [b"mine"] * 5
        assert len(rebuilds) == 1

    async def test_is_an_error_where_that_is_asked_for(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", unavailable())
        for caller, options in ((make(on_unavailable="fail"), {}), (make(), {"on_unavailable": "fail"})):
            with pytest.raises(ServiceError) as raised:
                await caller.get("k", never_called, **options)
            assert raised.value.code == "UNAVAILABLE"

    async def test_but_said_when_to_come_back_has_decided(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", unavailable(60_000))
        with pytest.raises(ServiceError) as raised:
            await caller.get("k", never_called)
        assert (raised.value.code, raised.value.retry_after) == ("UNAVAILABLE", 60.0)

    async def test_and_says_nothing_is_done_without_too(
        self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.will("GetOrLock", NEVER)
        monkeypatch.setattr("dibs.fetch_loop.WAY_S", 0.1)
        assert await caller.get("k", gives(b"mine"), wait=0) == b"mine"
        # None where the machine is so busy that not even the request came in time.
        assert len(fake.heard) <= 1

    async def test_before_the_answer_to_a_publish_is_told_again(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", unavailable(), unavailable(1), DUPLICATE)
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives(b"v")) == b"v"
        await until(lambda: hooks.of("publish") == ["duplicate"])
        first, second, third = fake.requests("Publish")
        assert first == second == third
        assert fake.requests("Release") == []

    async def test_for_good_is_told_to_the_hook(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", unavailable())
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives(b"v")) == b"v"
        await until(lambda: hooks.of("background_error"))
        assert len(fake.requests("Publish")) == 4

    @pytest.mark.parametrize(
        ("answer", "message", "times"),
        [
            (Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "value: too large"), "value: too large", 2),
            (Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls", 1), "", 4),
        ],
    )
    async def test_and_then_not_taking_the_value_gets_the_lease_back(
        self, fake: FakeService, make: MakeCaller, answer: Refusal, message: str, times: int
    ) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", unavailable(), answer)
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives(b"v")) == b"v"
        await until(lambda: fake.requests("Release"))
        (released,) = fake.requests("Release")
        assert (released.failure.message, len(fake.requests("Publish"))) == (message, times)
        assert len(hooks.of("not_storable")) == (1 if message else 0)


class TestWhatIsSent:
    async def test_says_who_asks_and_how(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", hit(b"v"))
        caller = make(token="secret", holder="h", namespace="mine")
        await caller.get("k", never_called, lease=1, stale="forbid", read="store", traceparent="00-1-2-01")
        (heard,) = fake.heard
        assert heard.metadata["authorization"] == "Bearer secret"
        assert heard.metadata["traceparent"] == "00-1-2-01"
        heard.request.request_id = ""
        assert heard.request == pb.GetOrLockRequest(
            namespace="mine",
            key="k",
            lease_ms=1_000,
            stale=pb.STALE_FORBID,
            read=pb.READ_STORE,
            holder="h",
            intent=pb.INTENT_REBUILD,
        )

    async def test_invalidations(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("Invalidate", pb.InvalidateResponse(keys_invalidated=1, leases_voided=2))
        caller = make(namespace="mine")
        done = await caller.invalidate(["a"], tags=["t"], mode="mark_stale")
        assert (done.keys_invalidated, done.leases_voided) == (1, 2)
        await caller.invalidate(all=True, namespace="theirs")
        assert fake.requests("Invalidate") == [
            pb.InvalidateRequest(namespace="mine", keys=["a"], tags=["t"], mode=pb.INVALIDATE_MODE_MARK_STALE),
            pb.InvalidateRequest(namespace="theirs", all=True, mode=pb.INVALIDATE_MODE_DELETE),
        ]
        with pytest.raises(TypeError, match="keys: give a list"):
            await caller.invalidate("user:42")


class TestHooks:
    async def test_hear_hits_and_waits(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", busy(1), hit(b"v"))
        hooks = Recorder()
        await make(hooks=hooks).get("k", never_called)
        assert hooks.told[0] == ("wait", False)
        assert hooks.told[-1] == ("hit", "fresh")

    async def test_that_raise_do_no_harm(self, fake: FakeService, make: MakeCaller) -> None:
        class Broken(Hooks):
            def publish(self, *_: object, **__: object) -> None:
                raise RuntimeError("the metrics are down")

        fake.will("GetOrLock", lease())
        assert await make(hooks=Broken()).get("k", gives(b"v")) == b"v"


class TestAClientThatIsClosed:
    async def test_makes_no_more_calls_and_rebuilds_nothing(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", hit(b"v"))
        await caller.get("k", never_called)
        await caller.close()
        with pytest.raises(ServiceError, match="closed") as raised:
            await caller.get("k", never_called)
        assert raised.value.code == "CANCELLED"

    async def test_lets_the_calls_end_that_it_has_made(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", fake.held(lease()))
        fake.will("Publish", STORED)
        call = asyncio.create_task(caller.get("k", gives(b"v")))
        await until(lambda: fake.heard)
        closing = asyncio.create_task(caller.close(PATIENCE_S))
        await asyncio.sleep(0.05)
        fake.gate.set()
        assert await call == b"v"
        await closing
        assert len(fake.requests("Publish")) == 1


async def test_cached_functions_keep_their_keys_apart(fake: FakeService, caller: Caller) -> None:
    fake.will("GetOrLock", lease())
    user = lambda id, lang: {"id": id, "lang": lang}
    assert await caller.get_cached(user, 1, key="user:{id}:{lang}", ttl=60) == {"id": 1, "lang": "en"}
    assert await caller.get_cached(user, 2, "de", key=lambda id, lang: f"u{id}", ttl=60) == {"id": 2, "lang": "de"}
    assert [request.key for request in fake.requests("GetOrLock")] == ["user:1:en", "u2"]
    with pytest.raises(ValueError, match="no parameter 'name'"):
        await caller.get_cached(user, 1, key="user:{name}", ttl=60)
