"""Two callers miss the same key at the same time. One rebuilds, and both get the value."""

import asyncio
from typing import Any

from dibs import AsyncClient

queries = 0


async def from_database() -> dict[str, Any]:
    global queries
    queries += 1
    return {"id": 42, "name": "Ada"}


async def main() -> None:
    # Two clients stand for two processes. Within one client, equal calls are joined before the service is asked.
    async with AsyncClient() as client, AsyncClient() as other:
        one, two = await asyncio.gather(
            client.get_or_rebuild("example:user:42", from_database, ttl=60),
            other.get_or_rebuild("example:user:42", from_database, ttl=60),
        )
    assert one is not None
    assert two is not None
    print(f"{one['name']} and {two['name']} after {queries} query")


asyncio.run(main())
