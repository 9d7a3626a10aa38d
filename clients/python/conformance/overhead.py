"""The cost of a hit by get_or_rebuild compared with the bare stub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import Any

from dibs import BYTES, AsyncClient
from dibs.v1 import coordinator_pb2 as pb

_ROUNDS = 3


async def overhead(client: AsyncClient, key: str, calls: int, in_flight: int) -> dict[str, Any]:
    """Mean wall time of a call in microseconds, the median of three rounds."""
    keys = [f"{key} {at}" for at in range(in_flight)]

    async def hit(key: str) -> None:
        await client.get_or_rebuild(key, value, ttl=3_600, codec=BYTES)

    async def bare(key: str) -> None:
        await client.stub.GetOrLock(pb.GetOrLockRequest(key=key), timeout=30)

    async def value() -> bytes:
        return b"x" * 100

    for one in keys:
        await hit(one)
    took: dict[str, list[float]] = {"client": [], "stub": []}
    for _ in range(_ROUNDS):
        took["stub"].append(await _mean_us(bare, keys, calls))
        took["client"].append(await _mean_us(hit, keys, calls))
    return {"client_us": median(took["client"]), "stub_us": median(took["stub"]), "stub": "unary"}


async def _mean_us(once: Callable[[str], Awaitable[None]], keys: list[str], calls: int) -> float:
    left = iter(range(calls))
    started = perf_counter()

    async def work(key: str) -> None:
        for _ in left:
            await once(key)

    await asyncio.gather(*(work(key) for key in keys))
    return (perf_counter() - started) * 1_000_000 / calls
