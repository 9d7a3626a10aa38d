"""The client for threads."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dibs.base import DEFAULT_FLUSH_S, DEFAULT_READY_S, BaseClient
from dibs.cached import Cached, key_maker
from dibs.codec import JSON, Codec
from dibs.explaining import Explanation
from dibs.fetch_loop import fetch_loop
from dibs.invalidating import Invalidated, Mode
from dibs.many_by_thread import Desk
from dibs.many_rebuilds import Granted
from dibs.options import GetOptions, RebuildOptions, Seconds, SetOptions, Terms, bounded_s, terms_of_get
from dibs.rebuild_context import Rebuild, told, wants_context
from dibs.rebuilding import Answer
from dibs.reentry import inside
from dibs.steps import Grant, Steps
from dibs.thread_waits import LeftError
from dibs.threads import Course, Crew
from dibs.typed_json import json_returned_by
from dibs.values import Result, Value, result_of
from dibs.write_through import Stored

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R")
P = ParamSpec("P")


class Client(BaseClient):
    """A client of Dibs. One per process is enough: it has one connection, which any thread may use.

    It connects with its first call. A process may fork at any time: parent and child each connect again.
    """

    def _renew(self) -> None:
        super()._renew()
        self._crew = Crew(self._link)

    @property
    def stub(self) -> Any:
        """The generated stub (`dibs.v1.coordinator_pb2_grpc`), with the token attached, for everything else."""
        return self._link.stub

    def get_or_rebuild(
        self,
        key: str,
        fn: Callable[[], T | Value[T] | None] | Callable[[Rebuild[T]], T | Value[T] | None],
        *,
        codec: Codec[T] = JSON,
        timeout: Seconds | None = None,
        **options: Unpack[RebuildOptions],
    ) -> T | None:
        """The value of a key: from the cache, from another caller's rebuild, or from `fn`.

        At most one caller in the fleet runs `fn` at a time, in its own thread. It takes no argument or one Rebuild.
        None means that the source has nothing; a Value has its own options. The options are those of RebuildOptions.

        This caller leaves with TimeoutError after `timeout`, except while it runs `fn` itself. Raises the error of
        `fn`; RebuildFailedError if another caller's rebuild failed and its back-off is running; BusyError if the wait
        ended first; InvalidOptionError for an option out of bounds; ReentrantRebuildError if `fn` asks for its own key;
        UndecodableError if the codec cannot read the value even after a rebuild; ServiceError for other bad input, and
        with `on_unavailable="fail"` if the service cannot be reached.
        """
        if inspect.iscoroutinefunction(fn):
            raise TypeError(f"{fn.__qualname__} is async: use an AsyncClient")
        entry = self._near_entry(key, options)
        if entry is not None:
            try:
                return None if entry.data is None else codec.decode(entry.data)
            except Exception as error:
                terms = self._unreadable(self._terms(key, options), entry.fence, error)
        else:
            terms = self._terms(key, options)
        until = math.inf if timeout is None else monotonic() + bounded_s("timeout", timeout)
        with self._crew.at_work():
            while True:
                try:
                    answer = self._fly(terms, fn, codec, until)
                except LeftError:
                    raise TimeoutError(f"no value of {key!r} within {timeout} s") from None
                if answer.data is None:
                    return None
                try:
                    return codec.decode(answer.data)
                except Exception as error:
                    terms = self._unreadable(terms, answer.fence, error)

    def _fly(self, terms: Terms, fn: Callable[..., Any], codec: Codec[Any], until: float) -> Answer:
        def rebuild(grant: Grant, lost: threading.Event) -> Result:
            with inside(self, terms.namespace, terms.key):
                returned = fn(Rebuild(*told(grant, codec), lost)) if wants_context(fn) else fn()
            if inspect.iscoroutine(returned):
                returned.close()
                raise TypeError("the rebuild returned a coroutine: use an AsyncClient")
            return result_of(returned, codec)

        task = self._task(terms, rebuild, codec)
        return self._crew.flights.join(terms.flight, lambda: fetch_loop(task), until, task.until)

    def cached(
        self,
        *,
        key: str | Callable[..., str] | None = None,
        codec: Codec[Any] | None = None,
        **options: Unpack[RebuildOptions],
    ) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """Decorates a function or method with `get_or_rebuild`.

        key: a template of the function's parameters, such as `user:{id}`, or a function of its arguments. Default: the
            function's full name and its arguments, which must then be texts, numbers, times, enums, or lists of them.
        codec: default: JSON of the function's declared return type, see `json_of`.

        Raises ValueError if the template names a parameter that the function does not have. The decorated function also
        has `invalidate`, `refresh` and `key`, each with the function's arguments.
        """

        def decorate(fn: Callable[P, R]) -> Cached[P, R]:
            if inspect.iscoroutinefunction(fn):
                raise TypeError(f"{fn.__qualname__} is async: use an AsyncClient")
            return Cached(
                fn, key_maker(key, fn), _Asks(self, json_returned_by(fn) if codec is None else codec, options)
            )

        return decorate

    def get_or_rebuild_many(
        self,
        keys: Iterable[str],
        fn: Callable[[list[str]], Mapping[str, T | Value[T] | None]]
        | Callable[[list[str], Mapping[str, Rebuild[T]]], Mapping[str, T | Value[T] | None]],
        *,
        codec: Codec[T] = JSON,
        timeout: Seconds | None = None,
        **options: Unpack[RebuildOptions],
    ) -> dict[str, T | None]:
        """The values of many keys, each as by `get_or_rebuild`. `fn` rebuilds all missing keys in one call.

        `fn` gets the keys to rebuild, and as a second argument the Rebuild of each key, if it takes one. It returns
        their values by key. A key that it leaves out counts as one that the source does not have. For keys whose leases
        come later, it is called again after the running call. It runs in its caller's thread, except behind stale
        values. Any number of keys is allowed; none makes no call.

        Raises ManyError if some keys failed, with their errors and all other values; otherwise like `get_or_rebuild`.
        """
        if inspect.iscoroutinefunction(fn):
            raise TypeError(f"{fn.__qualname__} is async: use an AsyncClient")
        desk = Desk()

        async def rebuild(granted: Mapping[str, Granted]) -> Any:
            def run() -> Any:
                its = list(granted)
                with inside(self, next(iter(many.terms.values())).namespace, *its):
                    if not wants_context(fn, given=1):
                        return fn(its)  # type: ignore[call-arg]
                    told_of = {k: Rebuild(*told(one.grant, codec), one.lost.in_threads) for k, one in granted.items()}
                    return fn(its, told_of)  # type: ignore[call-arg]

            return await desk.have_done(run, by_caller=not all(one.is_behind for one in granted.values()))

        many = self._many(keys, rebuild, codec, options)
        until = math.inf if timeout is None else monotonic() + bounded_s("timeout", timeout)
        with self._crew.at_work():
            try:
                return desk.fetch(many, self._crew, until)
            except LeftError:
                raise TimeoutError(f"no values of {len(many.terms)} keys within {timeout} s") from None

    def get(
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
            answer = _driven(steps, self._crew)
        return default if answer is None else self._found(terms, answer.data, codec, default)

    def set(self, key: str, value: T | None, *, codec: Codec[T] = JSON, **options: Unpack[SetOptions]) -> Stored:
        """Stores a value, or the fact that the source has nothing. Waits for a running rebuild of the key first.

        Commit to the source first. Raises BusyError if that rebuild outlasts `wait`, RebuildFailedError if it fails,
        the codec's error, InvalidOptionError for an option out of bounds, and ServiceError.
        """
        steps = self._set(key, value, codec, options)
        with self._crew.at_work():
            return _driven(steps, self._crew)

    def explain(self, key: str, *, namespace: str | None = None) -> Explanation:
        """Who holds the key, since when and until when, who waits, and how its last leases ended.

        Raises ServiceError.
        """
        steps = self._explain(key, namespace)
        with self._crew.at_work():
            return _driven(steps, self._crew)

    def invalidate(
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
            return _driven(self._invalidation(keys, tags, all, mode, namespace), self._crew)

    def ready(self, timeout: Seconds = DEFAULT_READY_S) -> None:
        """Waits for the connection. Raises ServiceError if that takes longer than `timeout`."""
        with self._crew.at_work():
            self._link.ready(bounded_s("timeout", timeout))

    def flush(self, timeout: Seconds = DEFAULT_FLUSH_S) -> bool:
        """Waits for rebuilds and publishes in the background. Returns whether all have ended within `timeout`."""
        return self._crew.flush(bounded_s("timeout", timeout))

    def close(self, grace: Seconds = 2.0) -> None:
        """Accepts no more calls, and closes the connection when the open calls have ended.

        Waits for that at most `grace`, also for rebuilds behind a stale value.
        """
        self._crew.close(bounded_s("grace", grace))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Asks:
    """What a cached function needs of its client."""

    client: Client
    codec: Codec[Any]
    options: RebuildOptions

    def get(self, key: str, rebuild: Callable[[], Any], refresh: bool) -> Any:
        options: RebuildOptions = {**self.options, "refresh": True} if refresh else self.options
        return self.client.get_or_rebuild(key, rebuild, codec=self.codec, **options)

    def invalidate(self, key: str) -> Any:
        return self.client.invalidate([key], namespace=self.options.get("namespace"))


def _driven(steps: Steps[R], crew: Crew) -> R:
    course = Course(steps, crew)
    try:
        course.drive()
    except BaseException:
        # Such as KeyboardInterrupt. A lease that came, or still comes, is given back.
        if not course.result.done():
            crew.behind(course.abandon)
        raise
    return course.result.result()
