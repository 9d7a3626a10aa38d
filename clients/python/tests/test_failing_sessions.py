"""An address whose sessions cannot be opened for a while; both clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from callers import MakeCaller, gives, never_called, until
from fake_service import STORED, FakeService, hit, lease, unavailable
from replicas import listing, until_answer

from dibs import NearCache
from dibs.endpoint import Endpoint
from dibs.session import Session
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
