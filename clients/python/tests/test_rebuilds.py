"""What becomes of a rebuild and its result, over real gRPC; both clients."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any

import grpc
import pytest
from callers import Caller, Context, MakeCaller, Recorder, fails, gives, never_called, until, until_lost
from fake_service import (
    LOST,
    NEVER,
    FakeService,
    Refusal,
    hit,
    lease,
    published,
)

from dibs import JSON, LeaseLostError, ReentrantRebuildError, Value
from dibs.v1 import coordinator_pb2 as pb


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
        assert hooks.told == [("publish", word, None, False)]

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

    @pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED])
    async def test_that_cannot_be_stored_is_its_callers_and_the_fleet_is_told_why(
        self, fake: FakeService, make: MakeCaller, code: grpc.StatusCode
    ) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", Refusal(code, "value: 9 bytes is outside 0 to 8"))
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives(b"too large")) == b"too large"
        assert fake.requests("Release")[0].failure.message == "value: 9 bytes is outside 0 to 8"
        (error,) = hooks.of("not_storable")
        assert error.code == code.name

    async def test_may_have_options_of_its_own(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        own = Value(b"v", ttl=5, stale_ttl=timedelta(seconds=7), tags=["own"])
        assert await caller.get("k", gives(own), ttl=60, stale_ttl=60, tags=["the call's"]) == b"v"
        nothing = Value[bytes](None, ttl=3)
        assert await caller.get("k", gives(nothing), ttl=60, absent_ttl=50, tags=["the call's"]) is None
        assert fake.requests("Publish") == [
            pb.PublishRequest(key="k", token="t", value=b"v", ttl_ms=5_000, stale_ms=7_000, tags=["own"]),
            pb.PublishRequest(key="k", token="t", absent=True, ttl_ms=3_000, tags=["the call's"]),
        ]

    @pytest.mark.parametrize(
        "own",
        [Value(b"v", ttl=float("nan")), Value(b"v", ttl=1e300), Value(b"v", stale_ttl=-1), Value(b"v", tags=[""])],
    )
    async def test_whose_own_options_are_wrong_is_its_callers_and_cannot_be_stored(
        self, fake: FakeService, make: MakeCaller, own: Value[bytes]
    ) -> None:
        fake.will("GetOrLock", lease())
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives(own)) == b"v"
        assert len(hooks.of("not_storable")) == 1
        assert " is outside " in fake.requests("Release")[0].failure.message
        assert fake.requests("Publish") == []

    async def test_that_may_be_stored_is_told_so(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease())
        unsure = published(pb.PUBLISH_OUTCOME_NOT_STORED)
        unsure.maybe_stored = True
        fake.will("Publish", unsure)
        hooks = Recorder()
        assert await make(hooks=hooks).get("k", gives(b"v")) == b"v"
        assert hooks.told == [("publish", "not_stored", None, True)]

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

    async def test_keeps_its_lease(self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        # Three seconds are left of it, enough for a busy machine. That is less than a third: it is extended at once.
        fake.will("GetOrLock", lease(expires_in_ms=9_600))
        monkeypatch.setattr("dibs.fetch_loop.monotonic", lambda: monotonic() - 6.6)
        fake.will("Extend", pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_EXTENDED, expires_in_ms=60_000))

        async def rebuild(context: Context) -> bytes:
            await until(lambda: fake.requests("Extend"))
            # Beyond the end that the lease began with.
            await asyncio.sleep(3.1)
            return b"lost" if context.lost.is_set() else b"kept"

        assert await caller.get("k", rebuild, lease=5) == b"kept"
        assert fake.requests("Extend") == [pb.ExtendRequest(key="k", token="t", lease_ms=5_000)]

    async def test_counts_its_lease_from_its_request(
        self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=60_000))
        monkeypatch.setattr("dibs.fetch_loop.monotonic", lambda: monotonic() - 50)

        async def rebuild(_: Context) -> Any:
            await until(lambda: fake.requests("Extend"))
            return b"v"

        assert await caller.get("k", rebuild) == b"v"


class TestAnErrorWhoseOwnCodeFails:
    class WrongError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("in __str__")

        @property
        def retry_after(self) -> float:
            raise RuntimeError("in retry_after")

    async def test_is_still_the_callers_and_gives_the_lease_back(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        own = self.WrongError()
        with pytest.raises(self.WrongError) as raised:
            await caller.get("k", fails(own))
        assert raised.value is own
        assert fake.requests("Release")[0].failure.message == "WrongError"

    async def test_does_no_harm_in_a_codec(self, fake: FakeService, caller: Caller) -> None:
        class Broken:
            def encode(self, value: Any) -> bytes:
                raise TestAnErrorWhoseOwnCodeFails.WrongError

            def decode(self, data: bytes) -> Any: ...

        fake.will("GetOrLock", lease())
        with pytest.raises(self.WrongError):
            await caller.get("k", gives(b"v"), codec=Broken())
        assert fake.requests("Release")[0].HasField("failure")


class TestAStaleValueWhoseRebuildFails:
    async def test_is_served_where_that_is_asked_for(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease(previous=b"old"))
        hooks, error = Recorder(), KeyError("row")
        caller = make(hooks=hooks)
        assert await caller.get("k", fails(error), revalidate="await", stale_if_error=True) == b"old"
        assert hooks.of("background_error") == [error]
        assert fake.requests("Release")[0].HasField("failure")
        # A refresh always awaits the rebuild.
        assert await caller.get("k", fails(error), refresh=True, stale_if_error=True) == b"old"
        for options in ({"revalidate": "await"}, {"refresh": True}):
            with pytest.raises(KeyError):
                await caller.get("k", fails(error), **options)


class TestARebuildThatAsksForItsOwnKey:
    async def test_is_told_so_at_once(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        with pytest.raises(ReentrantRebuildError, match=r'^dibs: the rebuild of "k" asks for "k" itself$'):
            await caller.get("k", nested(caller, "k", gives(b"v")))
        (release,) = fake.requests("Release")
        assert release.failure.message == 'dibs: the rebuild of "k" asks for "k" itself'

    async def test_through_another_key_too(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        with pytest.raises(ReentrantRebuildError, match='the rebuild of "k" asks'):
            await caller.get("k", nested(caller, "other", nested(caller, "k", gives(b"v"))))

    async def test_but_may_ask_for_another(self, fake: FakeService, caller: Caller, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease())
        assert await caller.get("k", nested(caller, "other", gives(b"v"))) == b"v"
        assert await caller.get("k", nested(caller, "k", gives(b"v"), namespace="other")) == b"v"
        # Another client stands for another process.
        assert await caller.get("k", nested(make(), "k", gives(b"v"))) == b"v"

    async def test_and_may_be_asked_for_by_what_it_left_behind(self, fake: FakeService, caller: Caller) -> None:
        """A rebuild behind a stale value is waited for by none, so it may wait for the one that it began in."""
        fake.will("GetOrLock", lease(), lease(previous=b"stale"), lease())
        inner: list[Any] = []

        async def behind(_: Context) -> Any:
            inner.append(await caller.get("k", gives(b"later"), refresh=True))
            return b"v"

        async def rebuild(context: Context) -> Any:
            stale = await caller.get("other", behind)
            await until(lambda: inner)
            return stale

        assert await asyncio.wait_for(caller.get("k", rebuild), 20) == b"stale"
        assert inner == [b"later"]


def nested(caller: Caller, key: str, then: Any, **options: Any) -> Any:
    """A rebuild that asks for another key."""

    async def rebuild(_: Context) -> Any:
        return await caller.get(key, then, **options)

    return rebuild


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
            await until(context.lost.is_set)
            return b"late"

        assert await caller.get("k", rebuild) == b"late"
        assert fake.requests("Publish")[0].value == b"late"

    @pytest.mark.parametrize(
        "outcome", [pb.PUBLISH_OUTCOME_SUPERSEDED, pb.PUBLISH_OUTCOME_INVALIDATED, pb.PUBLISH_OUTCOME_UNKNOWN_LEASE]
    )
    async def test_by_its_time_alone_is_asked_for_again_where_the_publish_says_so(
        self, fake: FakeService, caller: Caller, outcome: int
    ) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=60), hit(b"theirs"))
        fake.will("Extend", NEVER)
        fake.will("Publish", published(outcome))

        async def rebuild(context: Context) -> bytes:
            await until(context.lost.is_set)
            return b"mine"

        assert await caller.get("k", rebuild) == b"theirs"
        assert len(fake.requests("Publish")) == 1
