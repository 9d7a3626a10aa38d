"""Over real gRPC, from a service that answers what a real one answers only on a bad day; both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from callers import Caller, Context, MakeCaller, Recorder, fails, gives, until
from fake_service import (
    DUPLICATE,
    LOST,
    NEVER,
    STORED,
    FakeService,
    Refusal,
    busy,
    hit,
    lease,
    published,
    unavailable,
)

from dibs import JSON, BusyError, Hooks, LeaseLostError, RebuildFailedError, ServiceError
from dibs.v1 import coordinator_pb2 as pb


async def never_called(_: Context) -> Any:
    pytest.fail("rebuilt for nobody")


async def until_lost(context: Context) -> Any:
    await until(context.lost.is_set)
    raise LeaseLostError


class TestLeaving:
    async def test_takes_the_wait_at_the_service_along(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", NEVER)
        with pytest.raises(TimeoutError):
            await caller.get("k", never_called, leave_after=0.1)
        await until(lambda: fake.heard and fake.heard[0].cancelled)

    async def test_leaves_the_wait_to_the_one_that_stays(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", fake.held(hit(b"theirs")))
        leaving = asyncio.create_task(caller.get("k", never_called, leave_after=0.2))
        await until(lambda: fake.heard)
        staying = asyncio.create_task(caller.get("k", never_called))
        with pytest.raises(TimeoutError):
            await leaving
        fake.gate.set()
        assert await staying == b"theirs"
        assert [(heard.method, heard.cancelled) for heard in fake.heard] == [("GetOrLock", False)]

    async def test_ends_a_pause(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", busy(10_000))
        with pytest.raises(TimeoutError):
            await caller.get("k", never_called, leave_after=0.2)

    async def test_gives_back_a_lease_that_comes_at_that_moment(self, fake: FakeService, caller: Caller) -> None:
        """Whether it was the service's to take back, or the client's to give back: nobody rebuilds."""
        fake.will("GetOrLock", fake.held(lease()))
        with pytest.raises(TimeoutError):
            await caller.get("k", never_called, leave_after=0.1)
        fake.gate.set()
        await caller.close()
        assert fake.requests("Publish") == []


class TestJoining:
    async def test_equal_calls_are_one(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", fake.held(lease()))
        calls = [asyncio.create_task(caller.get("k", gives(b"v"))) for _ in range(10)]
        await until(lambda: fake.heard)
        await asyncio.sleep(0.1)
        fake.gate.set()
        assert await asyncio.gather(*calls) == [b"v"] * 10
        assert [heard.method for heard in fake.heard] == ["GetOrLock", "Publish"]

    @pytest.mark.parametrize("options", [{"read": "store"}, {"refresh": True}])
    async def test_not_where_the_newest_is_wanted(
        self, fake: FakeService, caller: Caller, options: dict[str, Any]
    ) -> None:
        fake.will("GetOrLock", fake.held(hit(b"v")))
        calls = [asyncio.create_task(caller.get("k", never_called, **options)) for _ in range(3)]
        await until(lambda: len(fake.heard) == 3)
        fake.gate.set()
        assert await asyncio.gather(*calls) == [b"v"] * 3

    async def test_a_failure_is_everybodys(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", fake.held(lease()))
        calls = [asyncio.create_task(caller.get("k", fails(KeyError("row")))) for _ in range(3)]
        await until(lambda: fake.heard)
        await asyncio.sleep(0.1)
        fake.gate.set()
        for call in calls:
            with pytest.raises(KeyError):
                await call
        assert len(fake.requests("Release")) == 1


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

    @pytest.mark.parametrize(
        ("reason", "word"),
        [(pb.BUSY_REASON_DEADLINE_TOO_SHORT, "deadline_too_short"), (pb.BUSY_REASON_NO_VALUE, "no_value")],
    )
    async def test_ends_at_once_where_it_cannot_succeed(
        self, fake: FakeService, caller: Caller, reason: int, word: str
    ) -> None:
        fake.will("GetOrLock", busy(1, reason))
        with pytest.raises(BusyError) as raised:
            await caller.get("k", never_called)
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
        fake.will("GetOrLock", unavailable())
        opened, rebuilds = asyncio.Event(), []

        async def rebuild(_: Context) -> bytes:
            rebuilds.append(1)
            await opened.wait()
            return b"mine"

        calls = [asyncio.create_task(caller.get("k", rebuild, refresh=True)) for _ in range(5)]
        await until(lambda: len(fake.heard) == 10)
        await asyncio.sleep(0.1)
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
        monkeypatch.setattr("dibs.fetch_loop._WAY_S", 0.1)
        assert await caller.get("k", gives(b"mine"), wait=0) == b"mine"
        assert len(fake.heard) == 1

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


class TestAResult:
    @pytest.mark.parametrize(
        ("number", "word"),
        [
            (pb.PUBLISH_OUTCOME_SUPERSEDED, "superseded"),
            (pb.PUBLISH_OUTCOME_INVALIDATED, "invalidated"),
            (pb.PUBLISH_OUTCOME_UNKNOWN_LEASE, "unknown_lease"),
            (pb.PUBLISH_OUTCOME_NOT_STORED, "not_stored"),
            (pb.PUBLISH_OUTCOME_STORED_LATE, "stored_late"),
            (99, "unspecified"),
        ],
    )
    async def test_is_its_callers_whatever_became_of_it(
        self, fake: FakeService, make: MakeCaller, number: int, word: str
    ) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", published(number))
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives(b"v")) == b"v"
        assert hooks.told == [("publish", word)]

    async def test_is_published_as_was_said(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        options = {"ttl": 1.5, "stale_ttl": 2, "absent_ttl": 0.25, "tags": ["a", "b"], "namespace": "n"}
        assert await caller.get("k", gives(b""), **options) == b""
        assert await caller.get("k", gives(None), **options) is None
        common = {"namespace": "n", "key": "k", "token": "t", "stale_ms": 2_000, "tags": ["a", "b"]}
        assert fake.requests("Publish") == [
            pb.PublishRequest(value=b"", ttl_ms=1_500, **common),  # type: ignore[arg-type]
            pb.PublishRequest(absent=True, ttl_ms=250, **common),  # type: ignore[arg-type]
        ]

    async def test_that_the_service_refuses_is_an_error_and_gives_the_lease_back(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", Refusal(grpc.StatusCode.INVALID_ARGUMENT, "value: too large"))
        with pytest.raises(ServiceError, match="value: too large"):
            await caller.get("k", gives(b"v"))
        assert "value: too large" in fake.requests("Release")[0].failure.message

    async def test_that_is_not_bytes_says_what_to_do(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        with pytest.raises(TypeError, match=r"bytes.*None.*codec"):
            await caller.get("k", gives("text"))
        assert fake.requests("Publish") == []
        assert fake.requests("Release")[0].HasField("failure")

    async def test_travels_as_json_unless_said_otherwise(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(), hit(b'{"a": [1, null]}'))
        assert await caller.get("k", gives({"a": "ü"}), codec=JSON) == {"a": "ü"}
        assert fake.requests("Publish")[0].value == b'{"a":"\\u00fc"}'
        assert await caller.get("k", never_called, codec=JSON) == {"a": [1, None]}


class TestARebuild:
    async def test_that_fails_tells_the_waiters(self, fake: FakeService, caller: Caller) -> None:
        class SourceDownError(Exception):
            retry_after = 2.5

        own = SourceDownError("x" * 4_094 + "ÄÖ")
        fake.will("GetOrLock", lease())
        with pytest.raises(SourceDownError) as raised:
            await caller.get("k", fails(own))
        assert raised.value is own
        (release,) = fake.requests("Release")
        assert release.failure == pb.Failure(message="x" * 4_094 + "Ä", retry_after_ms=2_500)

    async def test_is_told_its_lease_and_the_value_before(self, fake: FakeService, caller: Caller) -> None:
        seen: list[tuple[Any, ...]] = []

        async def rebuild(context: Context) -> Any:
            seen.append((context.fence, context.reason, context.has_previous, context.previous))
            return {"version": 2}

        for previous in (b'{"version":1}', b"<an older format>", None):
            fake.will("GetOrLock", lease(previous=previous))
            await caller.get("k", rebuild, codec=JSON, revalidate="await")
        assert seen == [
            (4, "miss", True, {"version": 1}),
            (4, "miss", False, None),
            (4, "miss", False, None),
        ]

    async def test_goes_on_behind_where_there_is_something_to_serve(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease(previous=b"old"))
        hooks, opened = Recorder(), asyncio.Event()

        async def rebuild(_: Context) -> bytes:
            await opened.wait()
            return b"new"

        assert await make(hooks=hooks).get("k", rebuild) == b"old"
        assert hooks.told == [("hit", "stale")]
        opened.set()
        await until(lambda: hooks.of("publish") == ["stored"])
        assert fake.requests("Publish")[0].value == b"new"

    async def test_behind_that_fails_tells_the_hook(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease(previous=b"old"))
        hooks, error = Recorder(), KeyError("row")
        assert await make(hooks=hooks).get("k", fails(error)) == b"old"
        await until(lambda: hooks.of("background_error") == [error])
        assert fake.requests("Release")[0].HasField("failure")

    @pytest.mark.parametrize("options", [{"refresh": True}, {"revalidate": "await"}])
    async def test_is_waited_for_where_that_is_asked_for(
        self, fake: FakeService, caller: Caller, options: dict[str, Any]
    ) -> None:
        fake.will("GetOrLock", lease(previous=b"old"))
        assert await caller.get("k", gives(b"new"), **options) == b"new"

    async def test_keeps_its_lease(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=100))

        async def rebuild(context: Context) -> bytes:
            await until(lambda: fake.requests("Extend"))
            await asyncio.sleep(0.15)
            return b"lost" if context.lost.is_set() else b"kept"

        assert await caller.get("k", rebuild, lease=5) == b"kept"
        assert fake.requests("Extend") == [pb.ExtendRequest(key="k", token="t", lease_ms=5_000)]


class TestALeaseThatIsLost:
    async def test_is_asked_for_again_while_there_is_time(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=60), hit(b"theirs"))
        fake.will("Extend", LOST)
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", until_lost) == b"theirs"
        assert hooks.of("lease_lost") == ["k"]
        assert fake.requests("Release") == []

    async def test_is_an_error_where_there_is_none(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=60))
        fake.will("Extend", LOST)
        with pytest.raises(LeaseLostError):
            await caller.get("k", until_lost, wait=0.001)
        assert len(fake.requests("GetOrLock")) == 1

    async def test_is_known_to_be_with_its_end_and_what_was_rebuilt_is_published(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=120))
        fake.will("Extend", NEVER)

        async def rebuild(context: Context) -> bytes:
            # Far earlier than an extension may otherwise take.
            for _ in range(750):
                await asyncio.sleep(0.002)
                if context.lost.is_set():
                    return b"late"
            return b"not told"

        assert await caller.get("k", rebuild) == b"late"
        assert fake.requests("Publish")[0].value == b"late"


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

    async def test_that_raise_harm_nobody(self, fake: FakeService, make: MakeCaller) -> None:
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
        closing = asyncio.create_task(caller.close())
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
