"""Callers that leave in the middle of a call, and clients that close."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S, MakeCaller, Source, until
from fake_service import NEVER, STORED, FakeService, each, hit, lease, leases, unavailable

from dibs import BYTES, AsyncClient, Client
from dibs.loop import Crew
from dibs.many_answers import ManyAnswers
from dibs.options import Defaults, terms_of
from dibs.steps import Call
from dibs.v1 import coordinator_pb2 as pb


@pytest.fixture
async def client(fake: FakeService) -> AsyncIterator[AsyncClient]:
    client = AsyncClient(fake.target)
    fake.will("GetOrLock", hit(b"v"))
    await client.get("a key of no test", codec=BYTES)
    fake.heard.clear()
    yield client
    fake.gate.set()
    await client.close()


class TestCancellation:
    async def test_is_not_lost_if_the_answer_has_just_come(self, fake: FakeService, client: AsyncClient) -> None:
        fake.will("GetOrLock", fake.held(hit(b"v")))
        getting = asyncio.create_task(client.get("k", codec=BYTES))
        await until(lambda: fake.requests("GetOrLock"))
        # The answer comes while the loop is busy.
        fake.gate.set()
        time.sleep(0.3)  # noqa: ASYNC251
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting


class TestASetThatIsLeft:
    async def test_gives_its_lease_back_if_it_is_cancelled_during_the_publish(
        self, fake: FakeService, client: AsyncClient
    ) -> None:
        fake.will("GetOrLock", lease("mine"))
        fake.will("Publish", NEVER)
        setting = asyncio.create_task(client.set("k", b"v", ttl=60, codec=BYTES))
        await until(lambda: fake.requests("Publish"))
        setting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await setting
        await until(lambda: [one.token for one in fake.requests("Release")] == ["mine"])

    async def test_gives_its_lease_back_if_it_is_cancelled_before_the_next_publish(
        self, fake: FakeService, client: AsyncClient
    ) -> None:
        fake.will("GetOrLock", lease("mine"))
        fake.will("Publish", unavailable(pushback_ms=60_000))
        setting = asyncio.create_task(client.set("k", b"v", ttl=60, codec=BYTES))
        await until(lambda: fake.requests("Publish"))
        await asyncio.sleep(0.1)
        setting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await setting
        await until(lambda: [one.token for one in fake.requests("Release")] == ["mine"])

    def test_gives_its_lease_back_if_it_is_interrupted(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease("mine"))
        fake.will("Publish", unavailable(pushback_ms=60_000))

        def interrupt() -> None:
            while not fake.requests("Publish"):
                time.sleep(0.002)
            time.sleep(0.1)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with Client(fake.target) as client:
            with pytest.raises(KeyboardInterrupt):
                client.set("k", b"v", ttl=60, codec=BYTES)
            give_up_at = monotonic() + PATIENCE_S
            while not fake.requests("Release") and monotonic() < give_up_at:
                time.sleep(0.01)
            assert [one.token for one in fake.requests("Release")] == ["mine"]


class TestManyKeysThatAreLeft:
    """Their leases are given back, and nothing is rebuilt."""

    @pytest.mark.parametrize("cancelled", ["before the answers", "after the answers"])
    async def test_when_the_answers_have_just_come(
        self, fake: FakeService, client: AsyncClient, cancelled: str
    ) -> None:
        def answers(request: pb.GetOrLockManyRequest) -> object:
            fake.gate.wait(30)
            return each(leases)(request)

        fake.will("GetOrLockMany", answers)
        source = Source()
        getting = asyncio.create_task(client.get_or_rebuild_many(["a", "b"], source, ttl=60, codec=BYTES))
        await until(lambda: fake.requests("GetOrLockMany"))
        if cancelled == "before the answers":
            getting.cancel()
        # The answers come while the loop is busy.
        fake.gate.set()
        time.sleep(0.3)  # noqa: ASYNC251
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        await until(lambda: len(fake.requests("Release")) >= 2)
        assert sorted(one.token for one in fake.requests("Release")) == ["token of a", "token of b"]
        assert source.asked == []

    async def test_when_an_answer_is_on_its_way_through_a_thread(self) -> None:
        told: list[Callable[[Any], None]] = []
        given_back: list[str] = []

        class OneMany:
            closed = False

            def call_many(self, call: Call, answered: Callable[[Any], None]) -> Future[Any]:
                told.append(answered)
                return Future()

            def groups(self, keys: list[str]) -> list[list[str]]:
                return [keys]

            def give_back(self, namespace: str, key: str, token: str) -> None:
                given_back.append(token)

        link: Any = OneMany()
        terms = terms_of("a", {"ttl": 60}, Defaults("", None, "fail"))
        answers = ManyAnswers(Crew(link), terms, monotonic() + 10, "")
        answers.of("a")
        asking = asyncio.create_task(answers.ask(lambda: None))
        await until(lambda: told)
        answers.leave()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        told[0](pb.GetOrLockManyResponse(key="a", response=lease("late")))
        assert given_back == ["late"]


class TestAClientThatCloses:
    async def test_lets_open_calls_of_each_kind_end(self, fake: FakeService, make: MakeCaller) -> None:
        caller = make()
        fake.will("GetOrLock", lease())
        fake.will("Publish", fake.held(STORED))
        fake.will("Invalidate", fake.held(pb.InvalidateResponse(keys_invalidated=1)))
        setting = asyncio.ensure_future(caller.put("k", b"v"))
        invalidating = asyncio.ensure_future(caller.invalidate(["other"]))
        await until(lambda: fake.requests("Publish") and fake.requests("Invalidate"))
        closing = asyncio.ensure_future(caller.close(PATIENCE_S))
        await asyncio.sleep(0.1)
        fake.gate.set()
        assert (await setting).stored
        assert (await invalidating).keys_invalidated == 1
        began_at = monotonic()
        await closing
        assert monotonic() - began_at < PATIENCE_S / 2

    async def test_waits_for_a_rebuild_that_goes_to_the_background_meanwhile(
        self, fake: FakeService, make: MakeCaller
    ) -> None:
        caller = make()
        fake.will("GetOrLock", fake.held(lease(previous=b"old")))

        async def rebuild(_: object) -> bytes:
            await asyncio.sleep(0.3)
            return b"new"

        getting = asyncio.ensure_future(caller.get("k", rebuild))
        await until(lambda: fake.requests("GetOrLock"))
        closing = asyncio.ensure_future(caller.close(PATIENCE_S))
        await asyncio.sleep(0.1)
        fake.gate.set()
        assert await getting == b"old"
        await closing
        assert [one.value for one in fake.requests("Publish")] == [b"new"]


class TestFlush:
    async def test_waits_for_a_publish_that_a_rebuild_leaves_to_the_background(
        self, fake: FakeService, make: MakeCaller
    ) -> None:
        caller = make()
        fake.will("GetOrLock", lease(previous=b"old"))
        fake.will("Publish", unavailable(pushback_ms=200), STORED)
        rebuilds = asyncio.Event()

        async def rebuild(_: object) -> bytes:
            await rebuilds.wait()
            return b"new"

        assert await caller.get("k", rebuild) == b"old"
        flushing = asyncio.ensure_future(caller.flush(PATIENCE_S))
        await asyncio.sleep(0.05)
        rebuilds.set()
        assert await flushing
        assert len(fake.requests("Publish")) == 2
