"""A `get_or_rebuild_many` for threads. An event loop in a separate thread drives it, and its caller rebuilds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from dibs.loop import Crew as LoopCrew
from dibs.many import ManyTask, fetch_many
from dibs.reentry import outside
from dibs.thread_waits import LeftError, left_until
from dibs.threads import Crew

Work = Callable[[], None]


class Desk:
    """Where the caller's thread waits for its work, because connections often belong to a thread."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._result: Future[dict[str, Any]] = Future()
        self._lock = threading.Lock()
        #: The caller has left.
        self._closed = False
        self._leave: Callable[[], None] = lambda: None

    def fetch(self, many: ManyTask, crew: Crew, until: float) -> dict[str, Any]:
        """Raises LeftError at `until`, a time of `time.monotonic()`, except in its rebuild; else like `fetch_many`."""
        if not many.terms:
            return {}
        crew.start_at_work(lambda: asyncio.run(self._drive(many, crew)))
        try:
            while True:
                try:
                    work = self._work.get(timeout=left_until(until))
                except Empty:
                    raise LeftError from None
                if work is None:
                    return self._result.result()
                work()
        finally:
            self._close()
            self._leave()

    async def have_done(self, rebuild: Callable[[], Any], by_caller: bool) -> Any:
        """Lets the caller do it, or a separate thread if the caller has left or does not wait for it."""
        done: Future[Any] = Future()

        def work() -> None:
            # Perhaps no caller wants it any more. Once it runs, its thread continues to the end.
            if not done.set_running_or_notify_cancel():
                return
            try:
                result = rebuild()
            except Exception as error:
                done.set_exception(error)
            except BaseException:
                # The error goes to the caller in its own thread. Here it counts as a caller that has left.
                done.set_exception(_InterruptedError())
                raise
            else:
                done.set_result(result)

        with self._lock:
            is_here = by_caller and not self._closed
            if is_here:
                self._work.put(work)
        if not is_here:
            _alone(work)
        try:
            return await asyncio.wrap_future(done)
        except _InterruptedError:
            raise asyncio.CancelledError from None

    async def _drive(self, many: ManyTask, crew: Crew) -> None:
        """Including what continues in the background after the caller has its values."""
        loop, its = asyncio.get_running_loop(), LoopCrew(crew.link)
        fetching = asyncio.ensure_future(fetch_many(many, its))

        def leave() -> None:
            # A closed loop has nothing under way.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(fetching.cancel)

        self._leave = leave
        if self._closed:
            fetching.cancel()
        await asyncio.wait((fetching,))
        # Counted before the caller continues, which may flush at once.
        with crew.at_work_behind():
            self._end(fetching)
            await its.all_ended()

    def _end(self, fetching: asyncio.Task[dict[str, Any]]) -> None:
        error = None if fetching.cancelled() else fetching.exception()
        if fetching.cancelled():
            self._result.cancel()
        elif error is not None:
            self._result.set_exception(error)
        else:
            self._result.set_result(fetching.result())
        self._work.put(None)

    def _close(self) -> None:
        with self._lock:
            self._closed = True
        # Rebuilds that no thread has taken.
        with suppress(Empty):
            while True:
                work = self._work.get_nowait()
                if work is not None:
                    _alone(work)


class _InterruptedError(Exception):
    """The rebuild ended with an exception that ends its caller, such as KeyboardInterrupt."""


def _alone(work: Work) -> None:
    threading.Thread(target=outside().run, args=(work,), daemon=True).start()
