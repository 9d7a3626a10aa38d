"""Both clients behind one face, so that one suite holds for both."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from time import monotonic
from typing import Any

import pytest

from dibs import (
    BYTES,
    AsyncClient,
    AsyncRebuild,
    Client,
    Explanation,
    Hooks,
    Invalidated,
    LeaseLostError,
    Rebuild,
    Stored,
)
from dibs.testing import AsyncMemoryClient, MemoryClient

Context = Rebuild[Any] | AsyncRebuild[Any]
Fn = Callable[[Context], Awaitable[Any]]

#: Far longer than anything here takes, far shorter than anybody wants to wait for a test that hangs.
PATIENCE_S = 60.0


async def until(true: Callable[[], object]) -> None:
    """Waits until it is true; fails where that takes too long."""
    give_up_at = monotonic() + PATIENCE_S
    while not true():
        assert monotonic() < give_up_at, "it never came true"
        await asyncio.sleep(0.002)


def gives(value: Any) -> Fn:
    """A rebuild that returns it."""

    async def rebuild(_: Context) -> Any:
        return value

    return rebuild


def fails(error: Exception) -> Fn:
    """A rebuild that raises it."""

    async def rebuild(_: Context) -> Any:
        raise error

    return rebuild


async def never_called(_: Context) -> Any:
    """A rebuild where there must be none."""
    pytest.fail("rebuilt without need")


async def joined(caller: Caller, count: int) -> None:
    """Until so many callers have joined the rebuild that runs."""
    rebuilds = caller.client._rebuilds
    await until(lambda: [running.joined for running in rebuilds._running.values()] == [count])


async def until_lost(context: Context) -> Any:
    """A rebuild that stops when its lease is lost."""
    await until(context.lost.is_set)
    raise LeaseLostError


class Source:
    """Rebuilds of many keys, by the way each of them is named."""

    def __init__(self, value_of: Callable[[str], Any] = lambda key: f"value of {key}".encode()) -> None:
        self.asked: list[list[str]] = []
        self._value_of = value_of
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, keys: list[str]) -> dict[str, Any]:
        self.asked.append(sorted(keys))
        await self.gate.wait()
        return {key: self._value_of(key) for key in keys}


class Recorder(Hooks):
    """Keeps what the hooks tell, as `(hook, what, ...)`."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def hit(self, namespace: str, key: str, freshness: str) -> None:
        self.told.append(("hit", freshness))

    def wait(self, namespace: str, key: str, waited: float, answered: bool) -> None:
        self.told.append(("wait", answered))

    def publish(
        self, namespace: str, key: str, outcome: str, fence: int, *, counts: bool | None, maybe_stored: bool
    ) -> None:
        self.told.append(("publish", outcome, counts, maybe_stored))

    def lease_lost(self, namespace: str, key: str) -> None:
        self.told.append(("lease_lost", key))

    def local_rebuild(self, namespace: str, key: str, cause: Exception) -> None:
        self.told.append(("local_rebuild", key))

    def undecodable(self, namespace: str, key: str, error: Exception) -> None:
        self.told.append(("undecodable", key))

    def not_storable(self, namespace: str, key: str, error: Exception) -> None:
        self.told.append(("not_storable", error))

    def background_error(self, namespace: str, key: str, error: Exception) -> None:
        self.told.append(("background_error", error))

    def of(self, hook: str) -> list[Any]:
        return [told[1] for told in self.told if told[0] == hook]


class ThreadCaller:
    """A Client, each call in a thread of its own, whose rebuilds run in the test's loop."""

    def __init__(self, kind: type[Client] = Client, **options: Any) -> None:
        self.client = kind(**options)
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(64)

    async def get(self, key: str, fn: Fn, *, leave_after: Any = None, **options: Any) -> Any:
        def rebuild(context: Rebuild[Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(_called(fn, context), self._loop).result()

        options = {"ttl": 60, "codec": BYTES, "timeout": leave_after, **options}
        return await self._do(lambda: self.client.get_or_rebuild(key, rebuild, **options))

    async def invalidate(self, *args: Any, **options: Any) -> Invalidated:
        done: Invalidated = await self._do(lambda: self.client.invalidate(*args, **options))
        return done

    async def many(self, keys: Any, fn: Any, *, leave_after: Any = None, **options: Any) -> Any:
        def rebuild(*args: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(fn(*args), self._loop).result()

        options = {"ttl": 60, "codec": BYTES, "timeout": leave_after, **options}
        take = self.client.get_or_rebuild_many
        # What it takes is read off it.
        one = lambda keys: rebuild(keys)
        two = lambda keys, leases: rebuild(keys, leases)
        its: Any = two if len(inspect.signature(fn).parameters) == 2 else one
        return await self._do(lambda: take(keys, its, **options))

    async def find(self, *args: Any, **options: Any) -> Any:
        return await self._do(lambda: self.client.get(*args, **{"codec": BYTES, **options}))

    async def put(self, *args: Any, **options: Any) -> Stored:
        stored: Stored = await self._do(lambda: self.client.set(*args, **{"ttl": 60, "codec": BYTES, **options}))
        return stored

    async def explain(self, key: str) -> Explanation:
        explanation: Explanation = await self._do(lambda: self.client.explain(key))
        return explanation

    async def ready(self, *args: Any) -> None:
        await self._do(lambda: self.client.ready(*args))

    async def flush(self, *args: Any) -> bool:
        done: bool = await self._do(lambda: self.client.flush(*args))
        return done

    async def get_cached(self, fn: Callable[[int, str], Any], *args: Any, **options: Any) -> Any:
        def cached(id: int, lang: str = "en") -> Any:
            return fn(id, lang)

        return await self._do(lambda: self.client.cached(**options)(cached)(*args))

    async def close(self, *args: Any) -> None:
        await self._do(lambda: self.client.close(*args))

    async def _do(self, work: Callable[[], Any]) -> Any:
        # In its caller's context, as `asyncio.to_thread` would have it.
        return await self._loop.run_in_executor(self._threads, copy_context().run, work)


class LoopCaller:
    """An AsyncClient."""

    def __init__(self, kind: type[AsyncClient] = AsyncClient, **options: Any) -> None:
        self.client = kind(**options)

    async def get(self, key: str, fn: Fn, *, leave_after: Any = None, **options: Any) -> Any:
        async def rebuild(context: AsyncRebuild[Any]) -> Any:
            return await fn(context)

        options = {"ttl": 60, "codec": BYTES, **options}
        try:
            return await asyncio.wait_for(self.client.get_or_rebuild(key, rebuild, **options), leave_after)
        except asyncio.TimeoutError as error:
            raise TimeoutError from error

    async def invalidate(self, *args: Any, **options: Any) -> Invalidated:
        return await self.client.invalidate(*args, **options)

    async def many(self, keys: Any, fn: Any, *, leave_after: Any = None, **options: Any) -> Any:
        options = {"ttl": 60, "codec": BYTES, **options}
        try:
            return await asyncio.wait_for(self.client.get_or_rebuild_many(keys, fn, **options), leave_after)
        except asyncio.TimeoutError as error:
            raise TimeoutError from error

    async def find(self, *args: Any, **options: Any) -> Any:
        return await self.client.get(*args, **{"codec": BYTES, **options})

    async def put(self, *args: Any, **options: Any) -> Stored:
        return await self.client.set(*args, **{"ttl": 60, "codec": BYTES, **options})

    async def explain(self, key: str) -> Explanation:
        return await self.client.explain(key)

    async def ready(self, *args: Any) -> None:
        await self.client.ready(*args)

    async def flush(self, *args: Any) -> bool:
        return await self.client.flush(*args)

    async def get_cached(self, fn: Callable[[int, str], Any], *args: Any, **options: Any) -> Any:
        async def cached(id: int, lang: str = "en") -> Any:
            return fn(id, lang)

        return await self.client.cached(**options)(cached)(*args)

    async def close(self, *args: Any) -> None:
        await self.client.close(*args)


Caller = ThreadCaller | LoopCaller
MakeCaller = Callable[..., Caller]


def caller_of(kind: str, **options: Any) -> Caller:
    """A caller with a client of that kind: `threads`, `loop`, `threads in memory` or `loop in memory`."""
    make: dict[str, Callable[..., Caller]] = {
        "threads": ThreadCaller,
        "loop": LoopCaller,
        "threads in memory": functools.partial(ThreadCaller, MemoryClient),
        "loop in memory": functools.partial(LoopCaller, AsyncMemoryClient),
    }
    return make[kind](**options)


async def _called(fn: Fn, context: Context) -> Any:
    return await fn(context)
