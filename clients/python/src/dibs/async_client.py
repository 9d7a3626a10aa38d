"""The client for an event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from dibs.base import (
    DEFAULT_FLUSH_S,
    DEFAULT_READY_S,
    AsyncRebuild,
    BaseClient,
    told,
    wants_context,
)
from dibs.cached import AsyncCached, key_maker
from dibs.codec import JSON, Codec
from dibs.explaining import Explanation
from dibs.fetch_loop import fetch_loop
from dibs.invalidating import Invalidated, Mode
from dibs.loop import Course, Crew
from dibs.options import GetOptions, RebuildOptions, Seconds, SetOptions, Terms, bounded_s, terms_of_get
from dibs.reentry import inside
from dibs.steps import Grant
from dibs.typed_json import json_returned_by
from dibs.values import Result, Value, result_of
from dibs.write_through import Stored

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R")
P = ParamSpec("P")


class AsyncClient(BaseClient):
    """A client of Dibs. One for each process is enough: it holds one connection, over which any task of any loop calls.

    It connects with its first call, so you may create it before a loop runs. Loops may come and go, and a process
    may fork at any time: parent and child each connect again.
    """

    def _renew(self) -> None:
        super()._renew()
        self._crews: WeakKeyDictionary[asyncio.AbstractEventLoop, Crew] = WeakKeyDictionary()

    @property
    def _crew(self) -> Crew:
        """That of the loop that runs: its tasks and futures are the loop's own."""
        loop = asyncio.get_running_loop()
        crew = self._crews.get(loop)
        if crew is None:
            crew = self._crews[loop] = Crew(self._link)
        return crew

    @property
    def stub(self) -> Any:
        """The generated stub (`dibs.v1.coordinator_pb2_grpc`), with the token attached, for everything else.

        Its methods are called in a loop that runs: `await` the reply, or `async for` the replies of a stream. Errors
        are `grpc.aio.AioRpcError`. A fork ends the calls that are open.
        """
        return self._link.loop_stub

    async def get_or_rebuild(
        self,
        key: str,
        fn: Callable[[], Awaitable[T | Value[T] | None]] | Callable[[AsyncRebuild[T]], Awaitable[T | Value[T] | None]],
        *,
        codec: Codec[T] = JSON,
        **options: Unpack[RebuildOptions],
    ) -> T | None:
        """The value of a key: from the cache, from another caller's rebuild, or from `fn`.

        At most one caller in the fleet runs `fn` at a time; it takes no argument or one AsyncRebuild. None means
        that the source has nothing; a Value has options of its own. The options are those of RebuildOptions.

        A caller that is cancelled leaves; the call goes on for those that have joined it, and `fn` is cancelled when
        none is left, or when its lease is lost. Raises what `fn` raised; RebuildFailedError where another caller's
        rebuild failed and its back-off runs; BusyError where the wait ended first; InvalidOptionError for an option
        out of bounds; ReentrantRebuildError where `fn` asks for its own key; ServiceError for other bad input, and
        with `on_unavailable="fail"` where the service cannot be reached.
        """
        entry = self._near_entry(key, options)
        if entry is not None:
            try:
                return None if entry.data is None else codec.decode(entry.data)
            except Exception as error:
                terms = self._unreadable(self._terms(key, options), entry.fence, error)
        else:
            terms = self._terms(key, options)
        crew = self._crew
        with crew.at_work():
            while True:
                task = self._task(terms, self._rebuild_by(fn, terms, codec), codec)
                answer = await crew.flights.join(terms.flight, functools.partial(fetch_loop, task))
                if answer.data is None:
                    return None
                try:
                    return codec.decode(answer.data)
                except Exception as error:
                    terms = self._unreadable(terms, answer.fence, error)

    def _rebuild_by(
        self, fn: Callable[..., Awaitable[Any]], terms: Terms, codec: Codec[Any]
    ) -> Callable[[Grant, asyncio.Event], Awaitable[Result]]:
        async def rebuild(grant: Grant, lost: asyncio.Event) -> Result:
            with inside(self, terms.namespace, terms.key):
                returned = await (fn(AsyncRebuild(*told(grant, codec), lost)) if wants_context(fn) else fn())
            return result_of(returned, codec)

        return rebuild

    def cached(
        self,
        *,
        key: str | Callable[..., str] | None = None,
        codec: Codec[Any] | None = None,
        **options: Unpack[RebuildOptions],
    ) -> Callable[[Callable[P, Awaitable[R]]], AsyncCached[P, R]]:
        """Decorates an async function, or method, with `get_or_rebuild`.

        key: a template of the function's parameters, such as `user:{id}`, or a function of its arguments. Default:
            the function's full name and its arguments, which then are texts, numbers, times, enums, or lists of them.
        codec: default: JSON of the type that the function says it returns, see `json_of`.

        Raises ValueError where the template names a parameter that the function does not have. What is decorated
        also has `invalidate`, `refresh` and `key`, each with the function's arguments.
        """

        def decorate(fn: Callable[P, Awaitable[R]]) -> AsyncCached[P, R]:
            return AsyncCached(
                fn, key_maker(key, fn), _Asks(self, json_returned_by(fn) if codec is None else codec, options)
            )

        return decorate

    async def get(
        self, key: str, default: D | None = None, *, codec: Codec[T] = JSON, **options: Unpack[GetOptions]
    ) -> T | D | None:
        """The cached value of a key, without a rebuild; None where it is known that the source has nothing.

        `default` where nothing is cached, where a rebuild runs and outlasts `wait` (0 by default), where the last one
        has failed, and where the codec cannot read the value. Raises ServiceError, also where the service cannot be
        reached.
        """
        terms = terms_of_get(key, options, self._defaults)
        entry = self._near_entry(key, options)
        if entry is not None:
            return self._found(terms, entry.data, codec, default)
        with self._crew.at_work():
            steps = self._find(terms)
            answer = await Course(steps, self._crew).drive()
        return default if answer is None else self._found(terms, answer.data, codec, default)

    async def set(self, key: str, value: T | None, *, codec: Codec[T] = JSON, **options: Unpack[SetOptions]) -> Stored:
        """Stores a value, or that the source has nothing, after a rebuild of the key that runs.

        Commit to the source first. Raises BusyError where that rebuild outlasts `wait`, RebuildFailedError where it
        fails, what the codec raises, InvalidOptionError for an option out of bounds, and ServiceError.
        """
        steps = self._set(key, value, codec, options)
        with self._crew.at_work():
            return await Course(steps, self._crew).drive()

    async def explain(self, key: str, *, namespace: str | None = None) -> Explanation:
        """Who holds the key, since when and until when, who waits, and how its last leases ended.

        Raises ServiceError.
        """
        steps = self._explain(key, namespace)
        with self._crew.at_work():
            return await Course(steps, self._crew).drive()

    async def invalidate(
        self,
        keys: Sequence[str] = (),
        *,
        tags: Sequence[str] = (),
        all: bool = False,  # noqa: A002
        mode: Mode = "delete",
        namespace: str | None = None,
    ) -> Invalidated:
        """Drops values, or marks them stale, and voids the rebuilds of them that run.

        Commit to the source first, then invalidate. Safe to repeat. Raises ServiceError.
        """
        with self._crew.at_work():
            steps = self._invalidation(keys, tags, all, mode, namespace)
            return await Course(steps, self._crew).drive()

    async def ready(self, timeout: Seconds = DEFAULT_READY_S) -> None:
        """Waits until the connection stands. Raises ServiceError where that takes longer than `timeout`."""
        with self._crew.at_work():
            await asyncio.to_thread(self._link.ready, bounded_s("timeout", timeout))

    async def flush(self, timeout: Seconds = DEFAULT_FLUSH_S) -> bool:
        """Waits for rebuilds and publishes that continue in the background; whether all have ended within `timeout`."""
        return await self._crew.flush(bounded_s("timeout", timeout))

    async def close(self, grace: Seconds = 2.0) -> None:
        """Takes no more calls, and lets go of the connection when those under way in this loop have ended.

        Waits for that at most `grace`, also for rebuilds that go on behind a stale value, and cancels what is left.
        """
        await self._crew.close(bounded_s("grace", grace))
        self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@dataclass(frozen=True)
class _Asks:
    """What a cached function asks its client for."""

    client: AsyncClient
    codec: Codec[Any]
    options: RebuildOptions

    def get(self, key: str, rebuild: Callable[[], Any], refresh: bool) -> Any:
        options: RebuildOptions = {**self.options, "refresh": True} if refresh else self.options
        return self.client.get_or_rebuild(key, rebuild, codec=self.codec, **options)

    def invalidate(self, key: str) -> Any:
        return self.client.invalidate([key], namespace=self.options.get("namespace"))
