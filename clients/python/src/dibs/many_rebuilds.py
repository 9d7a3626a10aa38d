"""Gathers the rebuilds of single keys into calls for several; driven by an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dibs.codec import Codec
from dibs.loop import IS_BEHIND, Crew
from dibs.loop_waits import Lost
from dibs.steps import Grant
from dibs.values import Result, result_of

#: Keys whose leases come later, one after the other, are rebuilt together if they come within this time. It doubles
#: with each such rebuild, because under load the leases for a thousand keys trickle in.
_GATHER_S_MIN = 0.010
_GATHER_S_MAX = 0.160
#: How long keys that come at once wait for one whose lease has also come, and whose way to its rebuild is longer.
_FIRST_S_MAX = 0.100


@dataclass(frozen=True)
class Granted:
    """What the rebuild of one key gets."""

    grant: Grant
    lost: Lost
    #: Its caller has a stale value, and does not wait for it.
    is_behind: bool


#: The user's rebuild. It returns a mapping by key, as far as it is typed.
RebuildMany = Callable[[Mapping[str, Granted]], Awaitable[Any]]


class _Batch:
    """Keys that are rebuilt by one call."""

    def __init__(self) -> None:
        self.granted: dict[str, Granted] = {}
        self.results: dict[str, asyncio.Future[Result]] = {}
        self.running: asyncio.Task[None] | None = None


class ManyRebuilds:
    """The first call of the rebuild is for all keys that the first answers brought. Later keys get further calls."""

    def __init__(self, crew: Crew, rebuild: RebuildMany, codec: Codec[Any]) -> None:
        self._crew = crew
        self._rebuild = rebuild
        self._codec = codec
        self._next = _Batch()
        self._planned: asyncio.TimerHandle | None = None
        self._has_answers = False
        #: The first call of the rebuild has not been made.
        self._is_first = True
        #: For the first answers: keys that will come, and keys that may.
        self._wanted: set[str] = set()
        self._hoped: set[str] = set()
        self._gather_s = _GATHER_S_MIN

    async def made(self, key: str, grant: Grant, lost: Lost) -> Result:
        """Rebuilds one key, together with others. Raises the error of the user's rebuild."""
        batch = self._next
        batch.granted[key] = Granted(grant, lost, IS_BEHIND.get())
        result = batch.results[key] = asyncio.get_running_loop().create_future()
        self._came(key)
        try:
            made: Result = await result
            return made
        except asyncio.CancelledError:
            await self._left(batch, key)
            raise

    def answered(self, wanted: set[str], hoped: set[str]) -> None:
        """The first answers have come. Waits for `wanted`, whose leases they brought, and for `hoped` unless `over`.

        Only the first time counts.
        """
        if self._has_answers:
            return
        self._has_answers = True
        here = self._next.granted.keys()
        self._wanted, self._hoped = wanted - here, hoped - here
        self._plan(_FIRST_S_MAX)
        self._run_if_all_came()

    def over(self, key: str) -> None:
        """The call of this key has ended."""
        self._hoped.discard(key)
        self._run_if_all_came()

    def _came(self, key: str) -> None:
        self._wanted.discard(key)
        self._hoped.discard(key)
        self._run_if_all_came()
        if not self._is_first and self._planned is None:
            self._plan(self._gather_s)
            self._gather_s = min(_GATHER_S_MAX, 2 * self._gather_s)

    def _run_if_all_came(self) -> None:
        if self._is_first and self._has_answers and not self._wanted and not self._hoped:
            self._run()

    def _plan(self, after: float) -> None:
        self._planned = asyncio.get_running_loop().call_later(after, self._run)

    def _run(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        self._is_first = False
        batch, self._next = self._next, _Batch()
        if batch.granted:
            batch.running = self._crew.start(self._rebuilt(batch))

    async def _rebuilt(self, batch: _Batch) -> None:
        try:
            returned = await self._rebuild(batch.granted)
            if not isinstance(returned, Mapping):
                raise TypeError(f"the rebuild of many keys returned {type(returned).__name__}: return a mapping")
        except asyncio.CancelledError:
            for result in batch.results.values():
                result.cancel()
            raise
        except BaseException as error:
            # Also an error of the whole process, such as SystemExit. The leases are given back before it continues.
            for result in batch.results.values():
                _fail(result, error)
            return
        for key, result in batch.results.items():
            try:
                # A row that the source does not have.
                made = result_of(returned.get(key), self._codec)
            except Exception as error:
                _fail(result, error)
            else:
                if not result.done():
                    result.set_result(made)

    async def _left(self, batch: _Batch, key: str) -> None:
        """No caller waits for this key any more, or its lease is lost. The last one ends the rebuild."""
        if batch is self._next:
            del batch.granted[key], batch.results[key]
            return
        running = batch.running
        if running is not None and not running.done() and all(result.done() for result in batch.results.values()):
            running.cancel()
            await asyncio.wait((running,))


def _fail(result: asyncio.Future[Result], error: BaseException) -> None:
    if isinstance(error, StopIteration):
        # Python does not allow it in a future.
        error = RuntimeError(f"the rebuild raised {error!r}")
    if not result.done():
        result.set_exception(error)
        # Its caller may have left.
        result.exception()
