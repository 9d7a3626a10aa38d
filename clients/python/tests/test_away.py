"""A service that is away, and comes back; both clients."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S, Caller, Context, MakeCaller, fails, gives, joined, never_called
from fake_service import FakeService, hit, unavailable

from dibs import JSON, BusyError, NearCache, ServiceError, Value
from dibs.options import Defaults, terms_of
from dibs.rebuilding import Rebuilds
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

    async def test_replaces_the_earlier_one_also_where_as_many_as_allowed_are_kept(
        self, fake: FakeService, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.will("GetOrLock", unavailable())
        monkeypatch.setattr("dibs.away._KEPT_MAX", 1)
        monkeypatch.setattr("dibs.away._KEPT_S_MAX", 3_600)
        rebuild = Counted()
        assert await caller.get("k", rebuild) == b"v1"
        assert await caller.get("k", rebuild, refresh=True) == b"v2"
        assert await caller.get("k", never_called) == b"v2"
        await caller.get("one too many", rebuild)
        assert await caller.get("one too many", rebuild) == b"v4"

    async def test_is_dropped_when_the_service_answers_again(self, fake: FakeService, caller: Caller) -> None:
        rebuild = Counted()
        fake.will("GetOrLock", unavailable())
        await caller.get("k", rebuild)
        fake.will("GetOrLock", hit(b"theirs"))
        assert await caller.get("another", never_called) == b"theirs"
        fake.will("GetOrLock", unavailable())
        assert await caller.get("k", rebuild) == b"v2"

    async def test_is_kept_where_the_clients_own_token_cannot_be_had(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", unavailable())
        faults: list[Exception] = []

        def token() -> str:
            if faults:
                raise faults[0]
            return "t"

        caller = make(token=token, session=False)
        rebuild = Counted()
        await caller.get("k", rebuild)
        faults.append(OSError("away"))
        with pytest.raises(ServiceError, match="token: its function raised OSError"):
            await caller.get("k", never_called)
        faults.clear()
        assert await caller.get("k", rebuild) == b"v1"

    async def test_is_not_joined_where_the_service_was_back_meanwhile(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", unavailable())
        begun, gate = asyncio.Event(), asyncio.Event()

        async def old(_: Context) -> bytes:
            begun.set()
            await gate.wait()
            return b"old"

        call = asyncio.create_task(caller.get("k", old))
        await begun.wait()
        fake.will("GetOrLock", hit(b"theirs"))
        assert await caller.get("another", never_called) == b"theirs"
        fake.will("GetOrLock", unavailable())
        assert await caller.get("k", gives(b"new"), wait=0.5) == b"new"
        gate.set()
        assert await call == b"old"

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

    @pytest.mark.parametrize("how", [{"store": False}, {"ttl": -1}])
    async def test_goes_to_the_callers_that_joined_it_where_it_is_not_to_be_stored(
        self, fake: FakeService, caller: Caller, how: dict[str, Any]
    ) -> None:
        fake.will("GetOrLock", unavailable())
        begun, gate = asyncio.Event(), asyncio.Event()

        async def rebuild(_: Context) -> Value[bytes]:
            begun.set()
            await gate.wait()
            return Value(b"ours", **how)

        first = asyncio.create_task(caller.get("k", rebuild))
        await begun.wait()
        # They join one after the other, because equal calls at once are one.
        others = []
        for count in (1, 2):
            others.append(asyncio.create_task(caller.get("k", never_called)))
            await joined(caller, count)
        gate.set()
        assert [await call for call in (first, *others)] == [b"ours"] * 3
        assert await caller.get("k", gives(b"new")) == b"new"


async def until_asked(caller: Caller) -> None:
    """What the session said before this is heard: messages come in order."""
    await caller.get("of no test", gives(b"v"), read="store")


_CHANGES: list[tuple[dict[str, Any], bool]] = [
    ({"namespace": "default", "keys": ["other", "k"]}, True),
    ({"keys": ["k"]}, True),
    ({"namespace": "default", "keys": ["other"]}, False),
    ({"namespace": "default", "tags": ["t"]}, True),
    ({"namespace": "default", "all": True}, True),
    ({"namespace": "other", "all": True, "keys": ["k"]}, False),
]


class TestASession:
    """It stands, and calls over it fail as where the service is away."""

    @pytest.fixture
    async def away(self, fake: FakeService, make_on_session: MakeCaller) -> Caller:
        caller = make_on_session(near_cache=NearCache(1_000_000))
        fake.will("GetOrLock", unavailable())
        await caller.get("of no test", gives(b"v"))
        return caller

    @pytest.mark.parametrize(("change", "concerns"), _CHANGES)
    async def test_that_tells_of_a_change_drops_what_was_made_before(
        self, fake: FakeService, away: Caller, change: dict[str, Any], concerns: bool
    ) -> None:
        rebuild = Counted()
        assert [await away.get("k", rebuild) for _ in range(2)] == [b"v1"] * 2
        fake.sessions[0].tell(pb.SessionEvent(invalidated=pb.Invalidated(**change)))
        await until_asked(away)
        assert [await away.get("k", rebuild) for _ in range(2)] == [b"v2" if concerns else b"v1"] * 2

    async def test_that_begins_drops_what_was_made_before(self, fake: FakeService, away: Caller) -> None:
        rebuild = Counted()
        assert [await away.get("k", rebuild) for _ in range(2)] == [b"v1"] * 2
        fake.sessions[0].end()
        await another_session(fake, away)
        assert [await away.get("k", rebuild) for _ in range(2)] == [b"v2"] * 2

    @pytest.mark.parametrize("begins", [False, True])
    async def test_leaves_no_rebuild_of_before_to_be_joined_or_kept(
        self, fake: FakeService, away: Caller, begins: bool
    ) -> None:
        begun, gate = asyncio.Event(), asyncio.Event()

        async def old(_: Context) -> bytes:
            begun.set()
            await gate.wait()
            return b"old"

        call = asyncio.create_task(away.get("k", old))
        await begun.wait()
        if begins:
            fake.sessions[0].end()
            await another_session(fake, away)
        else:
            fake.sessions[0].tell(pb.SessionEvent(invalidated=pb.Invalidated(namespace="default", keys=["k"])))
            await until_asked(away)
        assert await away.get("k", gives(b"new"), wait=0.5) == b"new"
        gate.set()
        assert await call == b"old"
        assert await away.get("k", gives(b"newer")) == b"new"


async def another_session(fake: FakeService, caller: Caller) -> None:
    before, give_up_at = len(fake.sessions), monotonic() + PATIENCE_S
    while len(fake.sessions) == before:
        assert monotonic() < give_up_at, "it never came"
        await until_asked(caller)
    await until_asked(caller)


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


@pytest.mark.parametrize("options", [{"read": "store"}, {"refresh": True}])
@pytest.mark.parametrize("many", [False, True])
async def test_a_caller_that_needs_a_newer_value_joins_no_local_rebuild_from_before_it(
    fake: FakeService, caller: Caller, options: dict[str, Any], many: bool
) -> None:
    fake.will("GetOrLock", unavailable())
    fake.will("GetOrLockMany", unavailable())
    begun, gate = asyncio.Event(), asyncio.Event()

    async def old(_: Context) -> bytes:
        begun.set()
        await gate.wait()
        return b"old"

    async def new(keys: list[str]) -> dict[str, bytes]:
        return dict.fromkeys(keys, b"new")

    call = asyncio.create_task(caller.get("k", old))
    await begun.wait()
    if many:
        assert await caller.many(["k"], new, wait=5, **options) == {"k": b"new"}
    else:
        assert await caller.get("k", gives(b"new"), wait=5, **options) == b"new"
    gate.set()
    assert await call == b"old"
    assert await caller.get("k", never_called) == b"new"


@pytest.mark.parametrize("options", [{"read": "store"}, {"refresh": True}])
def test_but_one_that_began_after_it(options: Any) -> None:
    """Many calls may find at once that the service is away, and share one rebuild."""
    defaults = Defaults("", "holder", "rebuild", 60.0)
    options["ttl"] = 60
    early, late = (terms_of("k", options, defaults) for _ in range(2))
    rebuilds = Rebuilds()
    first, _ = rebuilds.begin_local(early)
    assert rebuilds.begin_local(late) == (first, False)
    assert rebuilds.begin_local(terms_of("k", options, defaults)) != (first, False)


async def test_what_was_made_without_the_service_and_cannot_be_read_is_rebuilt(
    fake: FakeService, caller: Caller
) -> None:
    fake.will("GetOrLock", unavailable())
    await caller.get("k", gives(b"no JSON"))
    assert await caller.get("k", gives({"a": 1}), codec=JSON) == {"a": 1}


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
