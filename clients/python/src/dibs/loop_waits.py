"""What steps in an event loop wait for."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

from dibs.rebuilding import Ended
from dibs.steps import Join


class Lost(asyncio.Event):
    """A lost lease: an event for the loop and for threads."""

    def __init__(self) -> None:
        super().__init__()
        self.in_threads = threading.Event()

    def set(self) -> None:
        super().set()
        self.in_threads.set()


async def joined(join: Join) -> Ended | None:
    """The result of a rebuild for a caller that came after its lease; None at the end of the caller's wait."""
    ended = asyncio.wrap_future(join.running.ended)
    join.running.join()
    try:
        # Not awaited itself, because cancelling it would end it for the others.
        await asyncio.wait((ended,), timeout=max(0.0, join.until - monotonic()))
        return ended.result() if ended.done() else None
    finally:
        join.running.leave()


async def settled(task: asyncio.Task[Any]) -> None:
    """Waits until it has ended, however often the waiting task is cancelled."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((task,))
