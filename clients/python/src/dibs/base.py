"""What both clients have in common: everything except how they wait."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from dibs.away import Away
from dibs.codec import JSON, Codec
from dibs.connection import DEFAULT_CONNECT_S, Said, Token, connection_of
from dibs.errors import BusyError, InvalidOptionError, RebuildFailedError, UndecodableError
from dibs.explaining import Explanation, explain
from dibs.fetch_loop import fetch_loop
from dibs.forks import survive_forks
from dibs.hooks import Hooks, tell
from dibs.invalidating import Invalidated, Mode, invalidate_all, invalidations
from dibs.link import Link
from dibs.many import ManyTask
from dibs.many_rebuilds import RebuildMany
from dibs.metrics import metrics_by
from dibs.near_cache import Entry, NearCache, NearValues
from dibs.options import (
    DEFAULT_LEASE_HOLD_MAX_S,
    DEFAULT_WAIT_S,
    Defaults,
    OnUnavailable,
    RebuildOptions,
    Seconds,
    SetOptions,
    Terms,
    default_holder,
    flag,
    holder_of,
    key_of,
    keys_of,
    milliseconds,
    namespace_of,
    one_of,
    terms_of,
    terms_of_set,
)
from dibs.rebuild import Task
from dibs.rebuilding import Answer, Invalidation, Rebuilds
from dibs.reentry import refuse_reentry
from dibs.steps import Grant, Steps
from dibs.tracing import tracing_by
from dibs.used_channel import Sessions
from dibs.v1 import coordinator_pb2 as pb
from dibs.values import Value, result_of
from dibs.write_through import Stored, write_through

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

T = TypeVar("T")
D = TypeVar("D")

#: How long a process may wait for its first connection.
DEFAULT_READY_S = 10.0
#: A background rebuild that takes longer than this is not worth the wait.
DEFAULT_FLUSH_S = 5.0
_FLAGS = ("session", "key_affinity", "allow_insecure_token", "serve_near_when_unavailable")
#: A year: longer than any rebuild.
_HOLD_MS_MAX = 31_536_000_000


class BaseClient:
    """The options of a client, and the steps of its calls."""

    def __init__(
        self,
        target: str | None = None,
        *,
        token: Token | None = None,
        token_file: str | None = None,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        allow_insecure_token: bool = False,
        connect: Seconds = DEFAULT_CONNECT_S,
        namespace: str = "",
        holder: str | None = None,
        on_unavailable: OnUnavailable = "rebuild",
        lease_hold_max: Seconds = DEFAULT_LEASE_HOLD_MAX_S,
        session: bool = True,
        key_affinity: bool = False,
        near_cache: NearCache | None = None,
        serve_near_when_unavailable: bool = False,
        hooks: Hooks | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Makes a client.

        target: `HOST:PORT`, a list of these separated by commas, `dns:///HOST:PORT` or `unix:///path`. Default:
            `DIBS_TARGET`, else `127.0.0.1:50051`. A typo is an InvalidOptionError.
        token: sent as `authorization: Bearer`; a function is called for each call. Default: `DIBS_TOKEN`, else none.
        token_file: path of a file with the token, which is read again when it changes. Default: `DIBS_TOKEN_FILE`.
        tls_ca: path of a PEM file with the authorities to trust; turns TLS on. Default: `DIBS_TLS_CA`, else no TLS.
            Raises OSError if it cannot be read.
        tls_cert, tls_key: paths of PEM files with the client's own certificate and key; they turn TLS on. Default:
            `DIBS_TLS_CERT` and `DIBS_TLS_KEY`, else none.
        allow_insecure_token: allow the token to travel unencrypted to another machine. Default: that is an
            InvalidOptionError.
        connect: how long a connection may take before the service counts as unreachable. Default: 2 s.
        namespace: the namespace of calls that name none. Default: the service's `default`.
        holder: the name of this process in Explain and logs, at most 256 bytes. Default: host name and process id.
        on_unavailable: what `get_or_rebuild` does if the service cannot be reached. Default: `rebuild`, one rebuild at
            a time per key; `fail` raises the ServiceError.
        lease_hold_max: the longest that the lease of one rebuild is extended. A rebuild that takes longer counts as
            hung, and other callers may rebuild. Default: 10 minutes.
        session: send all calls on one stream, so that leases end with this process. If there can be no stream, calls
            are sent one by one. Default: true.
        key_affinity: give a key the same replica in every process that sets this for the same target, in any language.
            Its callers then meet in one place, which saves reads of the store, and memory in the near caches of the
            service. A key that all processes want then loads one replica only. Default: false.
        near_cache: keep fresh values in this process, so that a hit costs no call. Needs sessions. Default: off.
        serve_near_when_unavailable: while the service cannot be reached, return what the near cache had, as stale.
            Default: false.
        hooks: receive what happens.
        tracer_provider: provides the spans of rebuilds. Default: OpenTelemetry's global one, if that is installed.
        meter_provider: provides the metrics. Default: the same.
        """
        flags = (session, key_affinity, allow_insecure_token, serve_near_when_unavailable)
        for name, given in zip(_FLAGS, flags, strict=True):
            flag(name, given)
        said = Said(target, token, token_file, tls_ca, tls_cert, tls_key, connect, allow_insecure_token, key_affinity)
        self._connection = connection_of(said, os.environ)
        hold_max_ms = milliseconds("lease_hold_max", lease_hold_max, 1, _HOLD_MS_MAX)
        one_of("on_unavailable", on_unavailable, {"rebuild": True, "fail": False})
        namespace = "" if namespace is None else namespace_of(namespace)
        self._defaults = Defaults(namespace, holder_of(holder), on_unavailable, hold_max_ms / 1_000)
        self._metrics = metrics_by(meter_provider)
        if near_cache is not None and not session:
            raise InvalidOptionError("near_cache: needs sessions, which report changes; leave session=True")
        self._near = (
            None
            if near_cache is None
            else NearValues(near_cache, namespace, self._metrics, keeps=serve_near_when_unavailable)
        )
        self._hooks = Hooks() if hooks is None else hooks
        self._hears = hooks is not None
        self._tracing = tracing_by(tracer_provider)
        self._session = session
        self._link = self._make_link()
        # The end of the process closes it too.
        weakref.finalize(self, _dropped, self._link).atexit = False
        self._renew()
        survive_forks(self)

    def _make_link(self) -> Any:
        """How calls travel. It connects with the first one."""
        if not self._session:
            return Link(self._connection, self._tracing, None)
        # A client that its user has dropped without closing it must not be kept alive by its own connection.
        client, holder = weakref.ref(self), self._defaults.holder

        def lease_lost(lost: pb.LeaseLost) -> None:
            if (here := client()) is not None:
                here._rebuilds.lost(lost)

        def began() -> None:
            if (here := client()) is not None:
                here._away.welcomed()

        def changed(its: pb.Invalidated) -> None:
            if (here := client()) is not None:
                here._away.heard(Invalidation(its.namespace, frozenset(its.keys), its.all or len(its.tags) > 0))

        sessions = Sessions(
            lambda: default_holder() if holder is None else holder, lease_lost, began, changed, self._near
        )
        return Link(self._connection, self._tracing, sessions)

    def _renew(self) -> None:
        """Everything that belongs to one process."""
        self._rebuilds = Rebuilds()
        self._away = Away(self._connection.target, self._rebuilds, self._near)

    def _before_fork(self) -> None:
        self._link.before_fork()

    def _after_fork_in_parent(self) -> None:
        self._link.after_fork_in_parent()

    def _after_fork_in_child(self) -> None:
        # Threads of the parent that held a lock do not exist here to release it.
        self._link.after_fork_in_child()
        if self._near is not None:
            self._near.renew()
        self._renew()

    def _find(self, terms: Terms) -> Steps[Answer | None]:
        """A read: the cached value, or None if nothing is cached."""
        if terms.wait_ms:
            # Without a wait it waits for no rebuild, not even its own.
            refuse_reentry(self, terms.namespace, terms.key)
        task = replace(self._task(terms, _none, JSON), read_only=True)
        try:
            return (yield from fetch_loop(task))
        except (BusyError, RebuildFailedError):
            return None

    def _found(self, terms: Terms, data: bytes | None, codec: Codec[T], default: D) -> T | D | None:
        """A value that the codec cannot read is not found."""
        try:
            return None if data is None else codec.decode(data)
        except Exception as error:
            self._metrics.undecodable(terms.namespace)
            tell(self._hooks.undecodable, terms.namespace, terms.key, error)
            return default

    def _set(self, key: str, value: Any, codec: Codec[Any], options: SetOptions) -> Steps[Stored]:
        """Raises the codec's error, and an error for options out of bounds, before the steps begin."""
        terms = terms_of_set(key, options, self._defaults)
        refuse_reentry(self, terms.namespace, terms.key)
        data = result_of(Value(value), codec).data
        return write_through(self._task(terms, _none, codec), data, self._changed)

    def _many(self, keys: Iterable[str], rebuild: RebuildMany, codec: Codec[Any], options: RebuildOptions) -> ManyTask:
        """Raises for options out of bounds, and if the current context rebuilds one of the keys."""
        terms: dict[str, Terms] = {}
        for key in keys_of(keys):
            one = next(iter(terms.values()), None)
            terms[key] = self._terms(key, options) if one is None else replace(one, key=key)
        refuse_reentry(self, next(iter(terms.values())).namespace if terms else "", *terms)

        def near(key: str) -> Answer | None:
            entry = self._near_entry(key, options)
            return None if entry is None else Answer(entry.data, entry.fence)

        # One trace and one wait for all of them.
        of_all = None if not terms else self._task(next(iter(terms.values())), _none, codec)

        def task_of(terms: Terms, rebuild: Callable[[Grant, Any], Any]) -> Task:
            assert of_all is not None
            return replace(of_all, terms=terms, rebuild=rebuild)

        return ManyTask(terms, rebuild, codec, task_of, near, self._unreadable)

    def _explain(self, key: str, namespace: str | None) -> Steps[Explanation]:
        request = pb.ExplainRequest(namespace=self._namespace(namespace), key=key_of(key))
        return explain(request, self._tracing.of_caller().traceparent)

    def _namespace(self, given: str | None) -> str:
        return self._defaults.namespace if given is None else namespace_of(given)

    def _near_entry(self, key: str, options: Mapping[str, Any]) -> Entry | None:
        """The fresh value in this process, for a caller that accepts one. This is the shortest path."""
        near = self._near
        if near is None or options.get("refresh") or options.get("read") == "store":
            return None
        said = options.get("namespace")
        namespace = self._defaults.namespace if said is None else said
        entry = near.get(namespace or "default", key)
        if entry is not None and self._hears:
            tell(self._hooks.near_hit, namespace, key)
        return entry

    def _terms(self, key: str, options: RebuildOptions) -> Terms:
        terms = terms_of(key, options, self._defaults)
        refuse_reentry(self, terms.namespace, terms.key)
        return terms

    def _task(self, terms: Terms, rebuild: Callable[[Grant, Any], Any], codec: Codec[Any]) -> Task:
        wait_s = DEFAULT_WAIT_S if terms.wait_ms is None else terms.wait_ms / 1_000
        return Task(
            terms,
            self._hooks,
            self._metrics,
            rebuild,
            self._tracing.of_caller(terms.traceparent),
            self._rebuilds,
            self._away,
            self._near,
            terms.began_at + wait_s,
            lambda data: _reads(codec, data),
        )

    def _unreadable(self, terms: Terms, fence: int, error: Exception) -> Terms:
        """The codec could not read the value: repeats the call once, as for a miss. The second time it is an error."""
        if terms.unreadable_fence is not None:
            raise UndecodableError(terms.key) from error
        self._metrics.undecodable(terms.namespace)
        tell(self._hooks.undecodable, terms.namespace, terms.key, error)
        return terms.rereading(fence)

    def _invalidation(
        self, keys: Sequence[str], tags: Sequence[str], everything: bool, mode: Mode, namespace: str | None
    ) -> Steps[Invalidated]:
        requests = invalidations(self._namespace(namespace), keys, tags, everything, mode)
        return invalidate_all(requests, self._tracing.of_caller().traceparent, self._invalidated)

    def _invalidated(self, request: pb.InvalidateRequest) -> None:
        """The client's own invalidation has returned or failed. What it may have reached is no longer used."""
        self._changed(request.namespace, request.keys, request.tags, request.all)

    def _changed(
        self, namespace: str, keys: Collection[str], tags: Sequence[str] = (), everything: bool = False
    ) -> None:
        reached = Invalidation(namespace, frozenset(keys), everything or len(tags) > 0)
        self._rebuilds.invalidated(reached)
        self._away.invalidated(reached)
        if self._near is not None:
            self._near.changed(namespace, keys, tags, everything)


def _none(*_: Any) -> Any:
    """The rebuild of a call without one."""
    raise AssertionError("this call has no rebuild")


def _dropped(link: Any) -> None:
    """The client was dropped. Closes its connection in a separate thread, because this one may hold anything."""
    # A process that is ending starts no more threads, and needs none.
    if not link.closed:
        with suppress(RuntimeError):
            threading.Thread(target=link.close, daemon=True).start()


def _reads(codec: Codec[Any], data: bytes) -> bool:
    try:
        codec.decode(data)
    except Exception:
        return False
    return True
