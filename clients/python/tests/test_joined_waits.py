"""A caller that joins a call before its lease keeps its own wait, as does one that comes later."""

from __future__ import annotations

import asyncio
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S
from fake_service import FakeService, lease

from dibs import BYTES, AsyncClient, BusyError, Client
from dibs.rebuilding import Answer, Rebuilding
from dibs.steps import Grant, Run, Steps


async def test_of_a_loop(fake: FakeService) -> None:
    fake.will("GetOrLock", lease())
    begun, opened = asyncio.Event(), asyncio.Event()

    async def rebuild() -> bytes:
        begun.set()
        await opened.wait()
        return b"v"

    async with AsyncClient(fake.target) as client:

        async def call(wait: float) -> bytes | None:
            return await client.get_or_rebuild("k", rebuild, ttl=60, wait=wait, codec=BYTES)

        first, second, third = (asyncio.create_task(call(0.3)) for _ in range(3))
        await begun.wait()
        third.cancel()
        with pytest.raises(BusyError) as raised:
            await second
        assert raised.value.reason == "wait_ended"
        opened.set()
        # It rebuilds itself, however long that takes.
        assert await first == b"v"
        assert len(fake.requests("GetOrLock")) == 1


def test_of_threads(fake: FakeService) -> None:
    begun, opened = threading.Event(), threading.Event()

    def rebuild(*_: Any) -> None:
        begun.set()
        assert opened.wait(PATIENCE_S)

    with Client(fake.target) as client, ThreadPoolExecutor(1) as pool:
        running = Rebuilding(client._terms("k", {"ttl": 60}), None)

        def steps() -> Steps[Answer]:
            yield Run(rebuild, Grant(0, "miss"), running)
            return Answer(b"v")

        flights = client._crew.flights
        flight = flights._board("k", steps)
        assert flights._board("k", steps) is flight
        first = pool.submit(flight.fly, math.inf, monotonic())
        assert begun.wait(PATIENCE_S)
        with pytest.raises(BusyError) as raised:
            flight.fly(math.inf, monotonic() + 0.05)
        assert raised.value.reason == "wait_ended"
        opened.set()
        assert first.result(PATIENCE_S) == Answer(b"v")
        assert flight.fly(math.inf, monotonic()) == Answer(b"v")
