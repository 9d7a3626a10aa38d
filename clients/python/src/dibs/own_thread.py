"""Work that blocks, for an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T]) -> T:
    """Does it in a separate thread. Neither the end of the loop nor that of the process waits for it.

    `asyncio.run` would wait for a thread of `asyncio.to_thread`, even if its task was cancelled.
    """
    loop, ended, done = asyncio.get_running_loop(), asyncio.Event(), Future[T]()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        # A loop that has been closed in the meantime waits for nothing.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=run, daemon=True).start()
    await ended.wait()
    return done.result()
