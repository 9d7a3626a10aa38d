"""What is cancelled, or cannot go on, leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S, until
from fake_service import NEVER, FakeService, hit, lease
from test_drivers import OneAnswer

from dibs import BYTES, AsyncClient, ServiceError, threads


@pytest.mark.parametrize("method", ["Release", "Publish"])
def test_the_end_of_a_loop_does_not_recall_what_ends_a_lease(fake: FakeService, method: str) -> None:
    fake.will("GetOrLock", lease(), hit(b"v"))
    fake.will(method, NEVER)
    client = AsyncClient(fake.target)

    async def main() -> None:
        begun = asyncio.Event()

        async def rebuild() -> bytes:
            begun.set()
            if method == "Release":
                await asyncio.Event().wait()
            return b"v"

        call = asyncio.create_task(client.get_or_rebuild("k", rebuild, ttl=1, codec=BYTES))
        await begun.wait()
        if method == "Release":
            call.cancel()
        await until(lambda: fake.requests(method))

    asyncio.run(main())

    async def another() -> None:
        # It comes after what the client has sent until now.
        assert await client.get("another", codec=BYTES) == b"v"
        await asyncio.sleep(0.1)
        (ends,) = [heard for heard in fake.heard if heard.method == method]
        assert not ends.cancelled
        await client.close()

    asyncio.run(another())


async def test_a_close_that_is_cancelled_closes_the_connection(fake: FakeService) -> None:
    fake.will("GetOrLock", NEVER)
    client = AsyncClient(fake.target)
    call = asyncio.create_task(client.get("k", wait=30))
    await until(lambda: fake.heard)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.close(grace=PATIENCE_S), 0.1)
    with pytest.raises(ServiceError, match="closed"):
        await asyncio.wait_for(call, PATIENCE_S / 4)
    await until(lambda: fake.heard[0].cancelled)


def test_the_end_of_a_loop_waits_for_no_ready_that_was_cancelled() -> None:
    client = AsyncClient("127.0.0.1:1")

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.ready(PATIENCE_S / 2), 0.1)

    began_at = monotonic()
    asyncio.run(main())
    assert monotonic() - began_at < PATIENCE_S / 4
    asyncio.run(client.close())


def test_a_thread_that_cannot_be_started_holds_up_no_flush_and_no_close(monkeypatch: pytest.MonkeyPatch) -> None:
    answer: Future[Any] = Future()
    crew = threads.Crew(OneAnswer(answer, []))  # type: ignore[arg-type]

    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fails)
        for start in (crew.behind, crew.start_at_work):
            with pytest.raises(RuntimeError):
                start(lambda: None)
    assert crew.flush(0)
    began_at = monotonic()
    crew.close(PATIENCE_S)
    assert monotonic() - began_at < PATIENCE_S / 2
