"""What a scenario defines for a rebuild."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

from dibs import Value

Fields = dict[str, Any]
#: Calls the same client for another key, and returns the bytes of its value.
Ask = Callable[[Fields], Awaitable[bytes | None]]


class ScriptError(Exception):
    """What the source of a scenario raises; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after_ms: int | None) -> None:
        super().__init__(message)
        self.retry_after = None if retry_after_ms is None else retry_after_ms / 1_000


class UnreadableError(Exception):
    """An error whose message cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("the message of an error")


class PanicError(MemoryError):
    """An error that no application raises."""


#: Holds up rebuilds until the scenario opens it.
Gates = defaultdict[str, asyncio.Event]


async def follow(script: Fields, gates: Gates, ask: Ask) -> Value[bytes]:
    """Follows the script. Raises ScriptError and the like, and what `ask` raises."""
    stubborn = script.get("ignore_loss", False)
    if "gate" in script:
        await until(gates[script["gate"]].wait(), stubborn)
    if "after_ms" in script:
        await until(asyncio.sleep(script["after_ms"] / 1_000), stubborn)
    asked = await asked_by(script["asks"], ask) if "asks" in script else None
    if "fail" in script:
        raise ScriptError(script["fail"], script.get("retry_after_ms"))
    if script.get("throws_badly"):
        raise UnreadableError
    if "panics" in script:
        raise PanicError(script["panics"])
    return Value(
        value_of(script, asked),
        ttl=seconds(script.get("ttl_ms")),
        stale_ttl=seconds(script.get("stale_ms")),
        tags=script.get("tags"),
        store=not script.get("do_not_store", False),
    )


async def asked_by(fields: Fields, ask: Ask) -> bytes | None:
    """The value of the key that the rebuild itself asks for."""
    if not fields.pop("detached", False):
        return await ask(fields)
    # Outside the context of this rebuild, like a task of another framework.
    return await Context().run(asyncio.ensure_future, ask(fields))


def value_of(script: Fields, asked: bytes | None) -> bytes | None:
    """The value that the script names."""
    if script.get("absent"):
        return None
    if "size" in script:
        return b"x" * int(script["size"])
    if "value" in script:
        return base64.b64decode(script["value"])
    return asked if "asks" in script else b""


async def until(pause: Awaitable[object], stubborn: bool) -> None:
    """Waits for `pause`. A stubborn one continues although the client cancels it."""
    waiting = asyncio.ensure_future(pause)
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not stubborn:
                waiting.cancel()
                raise


def seconds(ms: float | str | None) -> float | None:
    """Scenarios write numbers that JSON does not have as text."""
    return None if ms is None else float(ms) / 1_000
