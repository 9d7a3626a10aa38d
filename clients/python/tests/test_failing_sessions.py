"""An address whose sessions cannot be opened for a while; both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import grpc
import pytest
from callers import MakeCaller, gives, never_called, until
from fake_service import STORED, FakeService, Refusal, hit, lease, unavailable
from replicas import listing, until_answer

from dibs import NearCache
from dibs.endpoint import Endpoint
from dibs.session import Session
from dibs.used_channel import UsedChannel
from dibs.v1 import coordinator_pb2 as pb


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of all attempts that have failed. They come soon after one another."""
    failed: list[str] = []
    fails = Endpoint.fails

    def noted(endpoint: Endpoint) -> None:
        failed.append(endpoint.address.target)
        fails(endpoint)

    monkeypatch.setattr(Endpoint, "fails", noted)
    monkeypatch.setattr("dibs.endpoint._AGAIN_MIN_S", 0.01)
    monkeypatch.setattr("dibs.endpoint._AGAIN_MAX_S", 0.05)
    return failed


async def test_it_is_tried_again_and_again(
    start: Callable[..., FakeService], make_on_session: MakeCaller, failed: list[str]
) -> None:
    one, two = start("one"), start("two")
    caller = make_on_session(target=listing(one, two))
    await until_answer(caller, "one", "two")
    two.stop()
    # An attempt may end before its session is known here. It must not count as open for good.
    await until(lambda: failed.count(two.target) > 20)
    start("two", two.target)
    await until_answer(caller, "one", "two")


@pytest.mark.usefixtures("live")
async def test_it_drops_no_copy_of_another_session(
    start: Callable[..., FakeService], make_on_session: MakeCaller, failed: list[str]
) -> None:
    one, two = start("one"), start("two")
    caller = make_on_session(target=listing(one, two), near_cache=NearCache(1_000_000))
    await until_answer(caller, "one", "two")
    two.stop()
    await until(lambda: failed.count(two.target) > 2)
    fresh = pb.Hit(value=b"kept", freshness=pb.FRESHNESS_FRESH, fresh_for_ms=3_600_000)
    one.will("GetOrLock", pb.GetOrLockResponse(hit=fresh))
    assert await caller.get("k", never_called) == b"kept"
    asked, before = len(one.heard), len(failed)
    await until(lambda: len(failed) > before + 5)
    assert await caller.get("k", never_called) == b"kept"
    assert len(one.heard) == asked


async def test_a_call_opens_one_session_and_then_goes_by_itself(
    make_on_session: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    start = Session.start

    def ends_at_once(session: Session) -> None:
        opened.append(session)
        start(session)
        for thread in session._threads if len(opened) < 20 else ():
            thread.join()

    caller = make_on_session(target="127.0.0.1:1", connect=0.5)
    monkeypatch.setattr(Session, "start", ends_at_once)
    assert await caller.get("k", gives(b"mine")) == b"mine"
    assert len(opened) == 1


async def test_a_call_by_itself_that_fails_does_not_end_the_use_of_an_open_session(
    start: Callable[..., FakeService], make_on_session: MakeCaller, failed: list[str]
) -> None:
    one, two = start("one"), start("two")
    caller = make_on_session(target=listing(one, two))
    before = await until_answer(caller, "one", "two")
    key = next(key for key, who in before.items() if who == "two")
    two.will("GetOrLock", lease())
    two.will("Publish", unavailable())
    one.will("Publish", STORED)
    # It is too large for the session.
    await caller.get(key, gives(b"v" * 1_000_001))
    await until(lambda: two.target in failed)
    two.will("GetOrLock", hit(b"two"))
    assert await until_answer(caller, "one", "two") == before
    assert len(two.hellos) == 1


def channel_of(caller: Any) -> UsedChannel:
    (endpoint,) = caller.client._link.endpoints.all
    channel: UsedChannel = endpoint.open
    return channel


async def test_one_that_was_refused_is_tried_again_soon_and_then_less_often(
    fake: FakeService, make_on_session: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dibs.used_channel._REFUSED_S_MIN", 0.05)
    monkeypatch.setattr("dibs.used_channel._REFUSED_S_MAX", 0.2)
    fake.takes_sessions = False
    fake.session_refusal = Refusal(grpc.StatusCode.UNAUTHENTICATED, "the token is known no more")
    fake.will("GetOrLock", hit(b"v"))
    caller = make_on_session()

    async def until_it(is_so: Callable[[], bool]) -> None:
        while not is_so():
            assert await caller.get("k", never_called) == b"v"
            await asyncio.sleep(0.002)

    await caller.get("k", never_called)
    for pause in (0.05, 0.1, 0.2):
        await until_it(lambda pause=pause: channel_of(caller)._refused_s >= pause)  # type: ignore[misc]
    assert channel_of(caller)._refused_s == 0.2
    fake.takes_sessions = True
    await until_it(lambda: channel_of(caller)._refused_s == 0.0)
    assert len(fake.sessions) == 1
    asked = len(fake.heard)
    await caller.get("k", never_called)
    assert (len(fake.heard), len(fake.hellos)) == (asked + 1, 1)


async def test_one_at_a_service_without_sessions_is_not_tried_again_soon(
    fake: FakeService, make_on_session: MakeCaller
) -> None:
    fake.takes_sessions = False
    fake.will("GetOrLock", hit(b"v"))
    caller = make_on_session()
    await caller.get("k", never_called)
    assert channel_of(caller)._refused_s == 60


async def test_no_call_waits_for_a_session_after_one_that_was_late(
    fake: FakeService, make_on_session: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dibs.used_channel._LATE_S", 3_600)
    fake.will("GetOrLock", hit(b"v"))
    fake.welcome.clear()
    caller = make_on_session(connect=2)
    assert await caller.get("k", never_called) == b"v"
    channel = channel_of(caller)
    # The next session is tried now, and does not count as late.
    channel._by_itself_until, channel._connect_s = monotonic(), 3_600.0
    assert await caller.get("k", never_called) == b"v"
    # It was answered before that session was there.
    assert channel._tries_behind
    await until(lambda: len(fake.hellos) == 2)
    fake.welcome.set()

    async def is_used() -> bool:
        await caller.get("k", never_called)
        return not channel_of(caller)._tries_behind

    while not await is_used():
        pass
