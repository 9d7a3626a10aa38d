"""The client for an event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dibs.base import AsyncRebuild, BaseClient, Invalidated, Mode, key_maker, told, wants_context
from dibs.codec import JSON, Codec
from dibs.link import LoopLink
from dibs.loop import Course, Crew
from dibs.options import RebuildOptions, Seconds, seconds_of
from dibs.steps import Grant

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class AsyncClient(BaseClient[Crew]):
    """A client of Dibs. One for each event loop is enough: it holds one channel, over which any task calls.

    It connects with its first call, so that it may be made before the loop runs.
    """

    def _make_crew(self) -> Crew:
        return Crew(lambda: LoopLink(self._connection, self._tracing))

    @property
    def stub(self) -> Any:
        """The generated stub (`dibs.v1.coordinator_pb2_grpc`), with the token attached, for everything else.

        Ask for it where the loop runs.
        """
        return self._crew.link.stub

    async def get_or_rebuild(
        self,
        key: str,
        fn: Callable[[], Awaitable[T | None]] | Callable[[AsyncRebuild[T]], Awaitable[T | None]],
        *,
        codec: Codec[T] = JSON,
        **options: Unpack[RebuildOptions],
    ) -> T | None:
        """The value of a key: from the cache, from another caller's rebuild, or from `fn`.

        At most one caller in the fleet runs `fn` at a time; it takes no argument or one AsyncRebuild. None means
        that the source has nothing. The options are those of RebuildOptions.

        A caller that is cancelled leaves; the call goes on for those who have joined it, and `fn` is cancelled when
        nobody is left. Raises what `fn` raised; RebuildFailedError where another caller's rebuild failed and its
        back-off runs; BusyError where the wait ended first; ServiceError for bad input, and with
        `on_unavailable="fail"` where the service cannot be reached.
        """
        terms = self._terms(key, options)

        async def rebuild(grant: Grant, lost: asyncio.Event) -> bytes | None:
            call: Callable[..., Awaitable[T | None]] = fn
            value = await (call(AsyncRebuild(*told(grant, codec), lost)) if wants_context(fn) else call())
            return None if value is None else codec.encode(value)

        with self._crew.at_work():
            data = await self._crew.flights.join(terms.flight, lambda: self._steps(terms, rebuild))
        return None if data is None else codec.decode(data)

    def cached(
        self, *, key: str | Callable[..., str], codec: Codec[Any] = JSON, **options: Unpack[RebuildOptions]
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]:
        """Decorates an async function with `get_or_rebuild`.

        `key` is a template of the function's parameters, such as `user:{id}`, or a function of its arguments.
        Raises ValueError where the template names a parameter that the function does not have.
        """

        def decorate(fn: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
            key_of = key_maker(key, fn)

            @functools.wraps(fn)
            async def call(*args: P.args, **kwargs: P.kwargs) -> R:
                value: Any = await self.get_or_rebuild(
                    key_of(*args, **kwargs), lambda: fn(*args, **kwargs), codec=codec, **options
                )
                # None comes only where some call of the function returned it.
                return value  # type: ignore[no-any-return]

            return call

        return decorate

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
            return await Course(self._invalidation(keys, tags, all, mode, namespace), self._crew).drive()

    async def close(self, grace: Seconds = 2.0) -> None:
        """Takes no more calls, and lets go of the connection when those under way have ended.

        Waits for that at most `grace`, also for rebuilds that go on behind a stale value, and cancels what is left.
        """
        await self._crew.close(seconds_of(grace))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
