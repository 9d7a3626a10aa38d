"""What a scenario says of a rebuild."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Awaitable
from typing import Any

from dibs import LeaseLostError


class ScriptError(Exception):
    """What the source of a scenario raises; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after_ms: int | None) -> None:
        super().__init__(message)
        self.retry_after = None if retry_after_ms is None else retry_after_ms / 1_000


#: What rebuilds wait at until the scenario opens it.
Gates = defaultdict[str, asyncio.Event]


async def follow(script: dict[str, Any], gates: Gates, lost: asyncio.Event) -> bytes | None:
    """Does what the script says. Raises ScriptError, or LeaseLostError when it stops because of that."""
    heed = None if script.get("ignore_loss") else lost
    if "gate" in script:
        await unless(heed, gates[script["gate"]].wait())
    if "after_ms" in script:
        await unless(heed, asyncio.sleep(script["after_ms"] / 1_000))
    if "fail" in script:
        raise ScriptError(script["fail"], script.get("retry_after_ms"))
    if script.get("absent"):
        return None
    if "size" in script:
        return b"x" * int(script["size"])
    return base64.b64decode(script.get("value", ""))


async def unless(lost: asyncio.Event | None, pause: Awaitable[object]) -> None:
    """Waits for `pause`; raises LeaseLostError as soon as `lost` is set."""
    if lost is None:
        await pause
        return
    over, told = asyncio.ensure_future(pause), asyncio.ensure_future(lost.wait())
    try:
        await asyncio.wait((over, told), return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            raise LeaseLostError
    finally:
        over.cancel()
        told.cancel()
