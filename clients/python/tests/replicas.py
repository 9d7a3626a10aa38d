"""Several services, and which of them has a key."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic

from callers import PATIENCE_S, Caller, gives
from fake_service import FakeService

KEYS = 40


async def answers(caller: Caller) -> dict[str, str]:
    """Who answers, by key."""
    values = await asyncio.gather(*(caller.get(f"key {at}", gives(b"rebuilt")) for at in range(KEYS)))
    return {f"key {at}": value.decode() for at, value in enumerate(values)}


async def until_answer(caller: Caller, *names: str) -> dict[str, str]:
    """Until each of them answers its share, no other one answers, and keys stay where they are."""
    give_up_at, before = monotonic() + PATIENCE_S, None
    while True:
        by_key = await answers(caller)
        counts = Counter(by_key.values())
        if set(counts) == set(names) and min(counts.values()) >= KEYS / len(names) / 5 and by_key == before:
            return by_key
        before = by_key
        assert monotonic() < give_up_at, counts
        await asyncio.sleep(0.05)


def listing(*services: FakeService) -> str:
    return ",".join(service.target for service in services)
