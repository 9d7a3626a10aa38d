"""The near cache of both clients."""

from __future__ import annotations

import asyncio
import math
import os
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S, Caller, MakeCaller, Recorder, gives, never_called, until
from fake_service import NEVER, FakeService, each, lease, unavailable
from test_near_cache import answer

from dibs import BYTES, JSON, Client, NearCache, near_cache
from dibs.near_cache import LIVE_S
from dibs.v1 import coordinator_pb2 as pb


def event(**what: Any) -> pb.SessionEvent:
    return pb.SessionEvent(**what)


def fresh(value: bytes, **how: Any) -> pb.GetOrLockResponse:
    return pb.GetOrLockResponse(hit=answer(value, **how))


@pytest.fixture
def make(make_on_session: MakeCaller) -> MakeCaller:
    return make_on_session


@pytest.fixture
async def near(make: MakeCaller) -> Caller:
    return make(near_cache=NearCache(1_000_000))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the near cache and its sessions, in whole seconds. A test moves it."""
    now = [float(math.floor(monotonic()))]
    for module in ("near_cache", "session"):
        monkeypatch.setattr(f"dibs.{module}.monotonic", lambda: now[0])
    return now


def session_of(near: Caller) -> Any:
    return near.client._link.endpoints.all[0].open._session


async def until_it_is(near: Caller, value: bytes) -> None:
    give_up_at = monotonic() + PATIENCE_S
    while await near.get("k", never_called) != value:
        assert monotonic() < give_up_at, "it never came"


@pytest.mark.usefixtures("live")
class TestClients:
    async def test_a_near_hit_costs_no_call(self, fake: FakeService, near: Caller) -> None:
        fake.will("GetOrLock", fresh(b"v"))
        for _ in range(3):
            assert await near.get("k", never_called) == b"v"
        assert len(fake.requests("GetOrLock")) == 1
        assert list(fake.hellos[0].watched_namespaces) == ["default"]
        fake.will("GetOrLock", lease("t"))
        assert await near.get("k", gives(b"w"), read="store") == b"w"
        assert await near.get("k", gives(b"x"), refresh=True) == b"x"
        assert await near.get("k", gives(b"y"), namespace="other") == b"y"
        assert len(fake.requests("GetOrLock")) == 4

    async def test_near_hits_are_told(self, fake: FakeService, make: MakeCaller) -> None:
        hooks = Recorder()
        near = make(near_cache=NearCache(1_000_000), hooks=hooks)
        fake.will("GetOrLock", fresh(b"v"))
        await near.get("k", never_called)
        await near.get("k", never_called)
        assert hooks.of("hit") == ["fresh", "fresh"]

    async def test_what_another_process_changes_is_asked_for(self, fake: FakeService, near: Caller) -> None:
        fake.will("GetOrLock", fresh(b"v1", tags=["t"]))
        await near.get("k", never_called)
        changes: list[dict[str, Any]] = [{"keys": ["k"]}, {"tags": ["t"]}, {"all": True}]
        for at, its in enumerate(changes):
            new = b"v%d" % (at + 2)
            fake.will("GetOrLock", fresh(new, tags=["t"]))
            fake.sessions[0].tell(event(invalidated=pb.Invalidated(namespace="default", **its)))
            await until_it_is(near, new)

    async def test_what_it_invalidates_itself_is_asked_for_at_once(self, fake: FakeService, near: Caller) -> None:
        fake.will("GetOrLock", fresh(b"v1"))
        await near.get("k", never_called)
        fake.will("GetOrLock", fresh(b"v2"))
        fake.will("Invalidate", pb.InvalidateResponse())
        await near.invalidate(["k"])
        assert await near.get("k", never_called) == b"v2"

    async def test_what_it_publishes_itself_is_asked_for_at_once(self, fake: FakeService, near: Caller) -> None:
        fake.will("GetOrLock", fresh(b"v1"))
        await near.get("k", never_called)
        fake.will("GetOrLock", lease("t"), fresh(b"v2"))
        assert await near.get("k", gives(b"v2"), refresh=True) == b"v2"
        assert await near.get("k", never_called) == b"v2"
        assert len(fake.requests("GetOrLock")) == 3

    async def test_no_answer_is_kept_that_its_own_invalidation_has_overtaken(
        self, fake: FakeService, near: Caller
    ) -> None:
        fake.will("GetOrLock", fake.held(fresh(b"old")))
        fake.will("Invalidate", pb.InvalidateResponse())
        calling = asyncio.ensure_future(near.get("k", never_called))
        await until(lambda: fake.requests("GetOrLock"))
        await near.invalidate(["k"])
        fake.gate.set()
        assert await calling == b"old"
        fake.will("GetOrLock", fresh(b"new"))
        assert await near.get("k", never_called) == b"new"

    async def test_nothing_is_left_of_a_session_that_broke(self, fake: FakeService, near: Caller) -> None:
        fake.will("GetOrLock", fresh(b"v1"))
        await near.get("k", never_called)
        fake.will("GetOrLock", fresh(b"v2"))
        fake.sessions[0].end()
        await until(lambda: near.client._near is not None and near.client._near._bytes == 0)
        assert await near.get("k", never_called) == b"v2"

    async def test_nothing_is_left_of_a_replica_that_drains(self, fake: FakeService, near: Caller) -> None:
        fake.will("GetOrLock", fresh(b"v1"), NEVER)
        await near.get("k", never_called)
        held = asyncio.ensure_future(near.get("held", never_called, leave_after=5))
        await until(lambda: len(fake.requests("GetOrLock")) == 2)
        fake.will("GetOrLock", fresh(b"v2"))
        fake.sessions[0].tell(event(draining=pb.Draining(closes_in_ms=5_000)))
        await until(lambda: near.client._near is not None and near.client._near._bytes == 0)
        assert await near.get("k", never_called) == b"v2"
        assert len(fake.hellos) == 2
        held.cancel()

    @pytest.mark.parametrize("keeps", [False, True])
    async def test_a_process_that_was_held_up_starts_anew(
        self, fake: FakeService, make: MakeCaller, keeps: bool
    ) -> None:
        near = make(near_cache=NearCache(1_000_000), serve_near_when_unavailable=keeps)
        fake.will("GetOrLock", fresh(b"v1"))
        await near.get("k", never_called)
        session = session_of(near)
        watch = session._watch
        watch.heard_at -= near_cache.LIVE_S
        fake.will("GetOrLock", fresh(b"v2"))
        fake.sessions[0].tell(event(beat=pb.Beat()))
        await until(lambda: session._watch is not watch and session._watch.heard_at > 0)
        assert await near.get("k", never_called) == b"v2"
        assert await near.get("k", never_called) == b"v2"
        assert len(fake.requests("GetOrLock")) == 2

    async def test_a_value_that_cannot_be_read_is_rebuilt(self, fake: FakeService, make: MakeCaller) -> None:
        hooks = Recorder()
        near = make(near_cache=NearCache(1_000_000), hooks=hooks)
        fake.will("GetOrLock", fresh(b"no JSON"))
        assert await near.get("k", never_called) == b"no JSON"
        fake.will("GetOrLock", lease("t"))
        assert await near.get("k", gives({"a": 1}), codec=JSON) == {"a": 1}
        assert hooks.of("undecodable") == ["k"]

    async def test_without_the_service_what_was_fresh_is_stale(self, fake: FakeService, make: MakeCaller) -> None:
        for how in ("rebuild", "fail"):
            service, hooks = FakeService().start(), Recorder()
            service.will("GetOrLock", fresh(b"v"))
            options = {"near_cache": NearCache(1_000_000), "serve_near_when_unavailable": True}
            near = make(target=service.target, hooks=hooks, on_unavailable=how, **options)
            await near.get("k", never_called)
            service.stop()
            await until(lambda near=near: near.client._link.endpoints.all[0].open._session is None)  # type: ignore[misc]
            assert await near.get("k", never_called) == b"v"
            assert hooks.of("hit") == ["fresh", "stale"]
            if how == "rebuild":
                assert await near.get("k", gives(b"w"), stale="forbid") == b"w"
                assert await near.get("k", gives(b"x"), refresh=True) == b"x"
                # What was rebuilt here is newer than what is left.
                assert await near.get("k", never_called) == b"x"

    async def test_nothing_is_left_once_the_service_answers_again_without_a_session(
        self, fake: FakeService, make: MakeCaller
    ) -> None:
        near = make(near_cache=NearCache(1_000_000), serve_near_when_unavailable=True)
        fake.will("GetOrLock", fresh(b"old"))
        await near.get("k", never_called)
        watch = session_of(near)._watch
        fake.takes_sessions = False
        fake.will("GetOrLock", unavailable())
        fake.sessions[0].end()
        await until(lambda: watch.ended)
        assert await near.get("k", never_called) == b"old"
        fake.will("GetOrLock", fresh(b"theirs"))
        assert await near.get("other", never_called) == b"theirs"
        fake.will("GetOrLock", unavailable())
        assert await near.get("k", gives(b"new")) == b"new"

    @pytest.mark.parametrize("many", [False, True])
    async def test_nothing_is_left_that_is_older_than_an_answer_without_a_session(
        self, fake: FakeService, make: MakeCaller, many: bool
    ) -> None:
        near = make(near_cache=NearCache(1_000_000), serve_near_when_unavailable=True)
        fake.will("GetOrLock", fresh(b"old"))
        await near.get("k", never_called)
        watch = session_of(near)._watch
        fake.takes_sessions = False
        fake.sessions[0].end()
        await until(lambda: watch.ended)
        # Streams break, and single calls work: none is lost.
        fake.will("GetOrLock", fresh(b"theirs"))
        fake.will("GetOrLockMany", each(lambda _: fresh(b"theirs")))
        if many:
            assert await near.many(["k"], never_called) == {"k": b"theirs"}
        else:
            assert await near.get("k", never_called) == b"theirs"
        fake.will("GetOrLock", unavailable())
        assert await near.get("k", gives(b"new")) == b"new"


class TestAProcessThatWasHeldUp:
    @pytest.mark.parametrize("stood_s", [2.999, 3.0])
    async def test_drops_what_is_there_and_what_is_under_way_at_a_late_beat(
        self, fake: FakeService, near: Caller, clock: list[float], stood_s: float
    ) -> None:
        fake.will("GetOrLock", fresh(b"v"), fake.held(fresh(b"v")))
        fake.will("GetOrLockMany", lambda request: fake.held(each(lambda _: fresh(b"v"))(request))(request))
        await near.get("k", never_called)
        under_way = [
            asyncio.ensure_future(near.get("one", never_called)),
            asyncio.ensure_future(near.many(["a", "b"], never_called)),
        ]
        await until(lambda: len(fake.heard) == 3)
        clock[0] += stood_s
        fake.sessions[0].tell(event(beat=pb.Beat()))
        await until(lambda: session_of(near)._watch.heard_at == clock[0])
        fake.gate.set()
        await asyncio.gather(*under_way)
        fake.will("GetOrLock", fresh(b"new"))
        for _ in range(2):
            values = [await near.get(key, never_called) for key in ("k", "one", "a", "b")]
            assert values == [b"v" if stood_s < LIVE_S else b"new"] * 4
        # What it asks for after that beat is kept.
        assert len(fake.heard) == (3 if stood_s < LIVE_S else 7)

    @pytest.mark.parametrize("stood_s", [2.999, 3.0])
    async def test_keeps_nothing_from_before_a_late_welcome(
        self, fake: FakeService, make: MakeCaller, clock: list[float], stood_s: float
    ) -> None:
        near = make(near_cache=NearCache(1_000_000), connect=60)
        fake.welcome.clear()
        fake.will("GetOrLock", fresh(b"v"))
        asking = asyncio.ensure_future(near.get("k", never_called))
        # It is on its way, and counts from before the welcome.
        opened = near.client._link.endpoints.all[0]
        await until(lambda: opened.open is not None and opened.open._session is not None)
        await until(lambda: session_of(near)._pending)
        clock[0] += stood_s
        fake.welcome.set()
        assert await asking == b"v"
        assert await near.get("k", never_called) == b"v"
        assert len(fake.heard) == (1 if stood_s < LIVE_S else 2)

    @pytest.mark.parametrize("many", [False, True])
    async def test_keeps_an_answer_for_less_time_when_it_came_late(
        self, fake: FakeService, near: Caller, clock: list[float], many: bool
    ) -> None:
        async def ask(key: str) -> Any:
            return await (near.many([key], never_called) if many else near.get(key, never_called))

        async def ask_when_it_takes(key: str, takes_s: float) -> None:
            fake.gate.clear()
            heard = len(fake.heard)
            calling = asyncio.ensure_future(ask(key))
            await until(lambda: len(fake.heard) > heard)
            clock[0] += takes_s
            fake.gate.set()
            await calling

        late = fresh(b"v", fresh_for_ms=1_000)
        fake.will("GetOrLock", fake.held(late))
        fake.will("GetOrLockMany", lambda request: fake.held(each(lambda _: late)(request))(request))
        await ask_when_it_takes("k", 0.75)
        clock[0] += 0.125
        await ask("k")
        assert len(fake.heard) == 1
        clock[0] += 0.125
        await ask("k")
        assert len(fake.heard) == 2
        await ask_when_it_takes("late", 1.125)
        await ask("late")
        assert len(fake.heard) == 4


def test_a_child_begins_with_an_empty_near_cache(fake: FakeService) -> None:
    fake.will("GetOrLock", fresh(b"v1"))
    with Client(fake.target, near_cache=NearCache(1_000_000), serve_near_when_unavailable=True) as client:

        def get() -> bytes | None:
            return client.get_or_rebuild("k", lambda: b"rebuilt", ttl=1, codec=BYTES)

        assert get() == b"v1"
        fake.will("GetOrLock", fresh(b"v2"))
        child = os.fork()
        if child == 0:
            # No `finally` of pytest's runs here.
            empty = client._near is not None and client._near._bytes == 0
            os._exit(0 if empty and get() == b"v2" and get() == b"v2" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # Its session was closed for the fork.
        assert get() == b"v2"
