"""The client for threads."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dibs.base import BaseClient, Invalidated, Mode, Rebuild, key_maker, told, wants_context
from dibs.codec import JSON, Codec
from dibs.link import ThreadLink
from dibs.options import RebuildOptions, Seconds, seconds_of
from dibs.steps import Grant
from dibs.threads import Course, Crew, LeftError

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Client(BaseClient[Crew]):
    """A client of Dibs. One for each process is enough: it holds one channel, over which any thread calls.

    It connects with its first call. Let that come after a fork, not before: gRPC's channels do not outlive one.
    """

    def _make_crew(self) -> Crew:
        return Crew(lambda: ThreadLink(self._connection, self._tracing))

    @property
    def stub(self) -> Any:
        """The generated stub (`dibs.v1.coordinator_pb2_grpc`), with the token attached, for everything else."""
        return self._crew.link.stub

    def get_or_rebuild(
        self,
        key: str,
        fn: Callable[[], T | None] | Callable[[Rebuild[T]], T | None],
        *,
        codec: Codec[T] = JSON,
        timeout: Seconds | None = None,
        **options: Unpack[RebuildOptions],
    ) -> T | None:
        """The value of a key: from the cache, from another caller's rebuild, or from `fn`.

        At most one caller in the fleet runs `fn` at a time, in its own thread; it takes no argument or one Rebuild.
        None means that the source has nothing. The options are those of RebuildOptions.

        This caller leaves with TimeoutError after `timeout`, except while it runs `fn` itself; the call goes on for
        those who have joined it. Raises what `fn` raised; RebuildFailedError where another caller's rebuild failed
        and its back-off runs; BusyError where the wait ended first; ServiceError for bad input, and with
        `on_unavailable="fail"` where the service cannot be reached.
        """
        terms = self._terms(key, options)
        until = math.inf if timeout is None else monotonic() + seconds_of(timeout)

        def rebuild(grant: Grant, lost: threading.Event) -> bytes | None:
            call: Callable[..., T | None] = fn
            value = call(Rebuild(*told(grant, codec), lost)) if wants_context(fn) else call()
            return None if value is None else codec.encode(value)

        with self._crew.at_work():
            try:
                data = self._crew.flights.join(terms.flight, lambda: self._steps(terms, rebuild), until)
            except LeftError:
                raise TimeoutError(f"no value of {key!r} within {timeout} s") from None
        return None if data is None else codec.decode(data)

    def cached(
        self, *, key: str | Callable[..., str], codec: Codec[Any] = JSON, **options: Unpack[RebuildOptions]
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorates a function with `get_or_rebuild`.

        `key` is a template of the function's parameters, such as `user:{id}`, or a function of its arguments.
        Raises ValueError where the template names a parameter that the function does not have.
        """

        def decorate(fn: Callable[P, R]) -> Callable[P, R]:
            key_of = key_maker(key, fn)

            @functools.wraps(fn)
            def call(*args: P.args, **kwargs: P.kwargs) -> R:
                value: Any = self.get_or_rebuild(
                    key_of(*args, **kwargs), lambda: fn(*args, **kwargs), codec=codec, **options
                )
                # None comes only where some call of the function returned it.
                return value  # type: ignore[no-any-return]

            return call

        return decorate

    def invalidate(
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
            course = Course(self._invalidation(keys, tags, all, mode, namespace), self._crew)
            course.drive()
            return course.result.result()

    def close(self, grace: Seconds = 2.0) -> None:
        """Takes no more calls, and lets go of the connection when those under way have ended.

        Waits for that at most `grace`, also for rebuilds that go on behind a stale value.
        """
        self._crew.close(seconds_of(grace))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
