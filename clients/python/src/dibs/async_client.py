"""The client for an event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from dibs.base import DEFAULT_FLUSH_S, DEFAULT_READY_S, BaseClient
from dibs.cached import AsyncCached, key_maker
from dibs.codec import JSON, Codec
from dibs.explaining import Explanation
from dibs.fetch_loop import fetch_loop
from dibs.invalidating import Invalidated, Mode
from dibs.loop import Course, Crew
from dibs.many import fetch_many
from dibs.many_rebuilds import Granted
from dibs.options import GetOptions, RebuildOptions, Seconds, SetOptions, Terms, bounded_s, terms_of_get
from dibs.own_thread import in_own_thread
from dibs.rebuild_context import AsyncRebuild, told, wants_context
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
    """A client of Dibs. One per process is enough: it has one connection, which any task of any loop may use.

    It connects with its first call, so you may create it before a loop runs. Loops may come and go, and a process may
    fork at any time: parent and child each connect again.
    """

    def _renew(self) -> None:
        super()._renew()
        self._crews: WeakKeyDictionary[asyncio.AbstractEventLoop, Crew] = WeakKeyDictionary()

    @property
    def _crew(self) -> Crew:
        """The crew of the running loop, because its tasks and futures belong to the loop."""
        loop = asyncio.get_running_loop()
        crew = self._crews.get(loop)
        if crew is None:
            crew = self._crews[loop] = Crew(self._link)
        return crew

    @property
    def stub(self) -> Any:
        """The generated stub (`dibs.v1.coordinator_pb2_grpc`), with the token attached, for everything else.

        Call its methods in a running loop: `await` the reply, or `async for` the replies of a stream. Errors are
        `grpc.aio.AioRpcError`. A fork ends the open calls.
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

        At most one caller in the fleet runs `fn` at a time. It takes no argument or one AsyncRebuild. None means that
        the source has nothing; a Value has its own options. The options are those of RebuildOptions.

        A cancelled caller leaves. The call continues for those that have joined it. `fn` is cancelled when no caller is
        left, or when its lease is lost.

        Raises the error of `fn`; RebuildFailedError if another caller's rebuild failed and its back-off is running;
        BusyError if the wait ended first; InvalidOptionError for an option out of bounds; ReentrantRebuildError if `fn`
        asks for its own key; UndecodableError if the codec cannot read the value even after a rebuild; ServiceError for
        other bad input, and with `on_unavailable="fail"` if the service cannot be reached.
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
                answer = await crew.flights.join(terms.flight, functools.partial(fetch_loop, task), task.until)
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
        """Decorates an async function or method with `get_or_rebuild`.

        key: a template of the function's parameters, such as `user:{id}`, or a function of its arguments. Default: the
            function's full name and its arguments, which must then be texts, numbers, times, enums, or lists of them.
        codec: default: JSON of the function's declared return type, see `json_of`.

        Raises ValueError if the template names a parameter that the function does not have. The decorated function also
        has `invalidate`, `refresh` and `key`, each with the function's arguments.
        """

        def decorate(fn: Callable[P, Awaitable[R]]) -> AsyncCached[P, R]:
            return AsyncCached(
                fn, key_maker(key, fn), _Asks(self, json_returned_by(fn) if codec is None else codec, options)
            )

        return decorate

    async def get_or_rebuild_many(
        self,
        keys: Iterable[str],
        fn: Callable[[list[str]], Awaitable[Mapping[str, T | Value[T] | None]]]
        | Callable[[list[str], Mapping[str, AsyncRebuild[T]]], Awaitable[Mapping[str, T | Value[T] | None]]],
        *,
        codec: Codec[T] = JSON,
        **options: Unpack[RebuildOptions],
    ) -> dict[str, T | None]:
        """The values of many keys, each as by `get_or_rebuild`. `fn` rebuilds all missing keys in one call.

        `fn` gets the keys to rebuild, and as a second argument the AsyncRebuild of each key, if it takes one. It
        returns their values by key. A key that it leaves out counts as one that the source does not have. It is called
        again for keys whose leases come later, also while it runs. Any number of keys is allowed; none makes no call.

        Raises ManyError if some keys failed, with their errors and all other values; otherwise like `get_or_rebuild`.
        """

        async def rebuild(granted: Mapping[str, Granted]) -> Any:
            its = list(granted)
            with inside(self, next(iter(many.terms.values())).namespace, *its):
                if not wants_context(fn, given=1):
                    return await fn(its)  # type: ignore[call-arg]
                told_of = {key: AsyncRebuild(*told(one.grant, codec), one.lost) for key, one in granted.items()}
                return await fn(its, told_of)  # type: ignore[call-arg]

        many, crew = self._many(keys, rebuild, codec, options), self._crew
        with crew.at_work():
            return await fetch_many(many, crew)

    async def get(
        self, key: str, default: D | None = None, *, codec: Codec[T] = JSON, **options: Unpack[GetOptions]
    ) -> T | D | None:
        """The cached value of a key, without a rebuild; None if the source is known to have nothing.

        Returns `default` if nothing is cached, if a running rebuild outlasts `wait` (0 by default), if the last one has
        failed, or if the codec cannot read the value. Raises ServiceError, also if the service cannot be reached.
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
        """Stores a value, or the fact that the source has nothing. Waits for a running rebuild of the key first.

        Commit to the source first. Raises BusyError if that rebuild outlasts `wait`, RebuildFailedError if it fails,
        the codec's error, InvalidOptionError for an option out of bounds, and ServiceError.
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
        """Drops values or marks them stale, and voids their running rebuilds.

        Commit to the source first, then invalidate. Safe to repeat. Raises ServiceError.
        """
        with self._crew.at_work():
            steps = self._invalidation(keys, tags, all, mode, namespace)
            return await Course(steps, self._crew).drive()

    async def ready(self, timeout: Seconds = DEFAULT_READY_S) -> None:
        """Waits for the connection. Raises ServiceError if that takes longer than `timeout`."""
        within = bounded_s("timeout", timeout)
        with self._crew.at_work():
            await in_own_thread(functools.partial(self._link.ready, within))

    async def flush(self, timeout: Seconds = DEFAULT_FLUSH_S) -> bool:
        """Waits for rebuilds and publishes in the background. Returns whether all have ended within `timeout`."""
        return await self._crew.flush(bounded_s("timeout", timeout))

    async def close(self, grace: Seconds = 2.0) -> None:
        """Accepts no more calls, and closes the connection when the open calls of this loop have ended.

        Waits for that at most `grace`, also for rebuilds behind a stale value, and cancels the rest.
        """
        try:
            await self._crew.close(bounded_s("grace", grace))
        finally:
            # Also if this task is cancelled. The leases end with the connection.
            self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@dataclass(frozen=True)
class _Asks:
    """What a cached function needs of its client."""

    client: AsyncClient
    codec: Codec[Any]
    options: RebuildOptions

    def get(self, key: str, rebuild: Callable[[], Any], refresh: bool) -> Any:
        options: RebuildOptions = {**self.options, "refresh": True} if refresh else self.options
        return self.client.get_or_rebuild(key, rebuild, codec=self.codec, **options)

    def invalidate(self, key: str) -> Any:
        return self.client.invalidate([key], namespace=self.options.get("namespace"))
