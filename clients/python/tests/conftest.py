from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from callers import Caller, MakeCaller, caller_of, gives
from fake_service import EXTENDED, RELEASED, STORED, FakeService, hit

from dibs.base import BaseClient

#: For what takes no time here, except on a busy machine: any thread may stand for seconds there.
_LONG_S = 20.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections, answers and publishes have the time that they take on a busy machine, unless a test says less."""
    connects: Any = BaseClient.__init__.__kwdefaults__
    monkeypatch.setitem(connects, "connect", _LONG_S)
    for module in ("fetch_loop", "many_answers"):
        monkeypatch.setattr(f"dibs.{module}.WAY_S", _LONG_S)
    for name in ("_PUBLISH_S", "_RELEASE_S"):
        monkeypatch.setattr(f"dibs.rebuild.{name}", _LONG_S)
    # Keys that come together are rebuilt together.
    monkeypatch.setattr("dibs.many_answers._LOOK_S_MAX", _LONG_S)
    monkeypatch.setattr("dibs.many_rebuilds._FIRST_S_MAX", 3.0)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions count as live as long as a test takes, for the fake service sends no beats."""
    for module in ("near_cache", "session"):
        monkeypatch.setattr(f"dibs.{module}.LIVE_S", 3_600.0)


@pytest.fixture
def fake() -> Iterator[FakeService]:
    """A service that stores, releases and extends, and is told what it answers to GetOrLock."""
    service = FakeService().start()
    service.will("Publish", STORED)
    service.will("Release", RELEASED)
    service.will("Extend", EXTENDED)
    yield service
    service.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., FakeService]]:
    """Starts services that answer each question with their name."""
    started: list[FakeService] = []

    def start_one(name: str, listen: str = "127.0.0.1:0", **how: Any) -> FakeService:
        service = FakeService().start(listen=listen, **how)
        service.will("GetOrLock", hit(name.encode()))
        started.append(service)
        return service

    yield start_one
    for service in started:
        service.stop()


@pytest.fixture(params=["threads", "loop", "threads without sessions", "loop without sessions"])
async def make(request: pytest.FixtureRequest, fake: FakeService) -> AsyncIterator[MakeCaller]:
    """Makes callers of the fake service, with the client of either kind."""
    made: list[Caller] = []
    kind, _, without = request.param.partition(" without ")
    fake.takes_sessions = without == ""

    def make_one(**options: Any) -> Caller:
        made.append(caller_of(kind, **{"target": fake.target, **options}))
        return made[-1]

    yield make_one
    # What is held back goes on, so that closing waits for nothing.
    fake.gate.set()
    for caller in made:
        await caller.close()


@pytest.fixture(params=["threads", "loop"])
async def make_on_session(request: pytest.FixtureRequest, fake: FakeService) -> AsyncIterator[MakeCaller]:
    """The same, for what only sessions can do."""
    made: list[Caller] = []

    def make_one(**options: Any) -> Caller:
        made.append(caller_of(request.param, **{"target": fake.target, **options}))
        return made[-1]

    yield make_one
    fake.gate.set()
    for caller in made:
        await caller.close()


@pytest.fixture
async def caller(make: MakeCaller, fake: FakeService) -> Caller:
    """Connected, so that no time that a test counts goes by with that."""
    caller = make()
    fake.will("GetOrLock", hit(b"v"))
    await caller.get("a key of no test", gives(b"v"))
    fake.heard.clear()
    return caller
