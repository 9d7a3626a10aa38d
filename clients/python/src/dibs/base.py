"""What both clients have in common: everything but how they wait."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import string
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from dibs.codec import Codec
from dibs.fetch_loop import fetch_loop
from dibs.hooks import Hooks
from dibs.options import (
    DEFAULT_CONNECT_S,
    Connection,
    Defaults,
    OnUnavailable,
    RebuildOptions,
    Seconds,
    Terms,
    connection_of,
    default_holder,
    names,
    one_of,
    terms_of,
)
from dibs.rebuild import Task
from dibs.steps import Call, Grant, Steps
from dibs.tracing import tracing_by
from dibs.v1 import coordinator_pb2 as pb

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

T = TypeVar("T")
C = TypeVar("C")
Mode = Literal["delete", "mark_stale"]

#: Long enough for a service that fails over, short enough that nobody hangs on it.
_INVALIDATE_S = 5.0
_MODES: Mapping[str | None, pb.InvalidateMode.ValueType] = {
    "delete": pb.INVALIDATE_MODE_DELETE,
    "mark_stale": pb.INVALIDATE_MODE_MARK_STALE,
}
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class _Lease(Generic[T]):
    #: Grows with each lease of the key; give it to the source, if that checks fences. 0 where there is none.
    fence: int
    #: Why the lease was given, such as `miss` or `expired`; `local` where the service could not be reached.
    reason: str
    #: A value before is known, and the codec can still read it.
    has_previous: bool
    #: The value before, for a source that can say "not modified". None where the source had nothing, or none
    #: is known.
    previous: T | None


@dataclass(frozen=True)
class Rebuild(_Lease[T]):
    """What a rebuild of a Client is told."""

    #: Set when the lease is lost. Stop then, by raising LeaseLostError or anything else.
    lost: threading.Event


@dataclass(frozen=True)
class AsyncRebuild(_Lease[T]):
    """What a rebuild of an AsyncClient is told. It is cancelled when nobody waits for it any more."""

    #: Set when the lease is lost. Stop then, by raising LeaseLostError or anything else.
    lost: asyncio.Event


@dataclass(frozen=True)
class Invalidated:
    """What an invalidation came to."""

    #: How many of `keys` had a value. Values reached by tag or by `all` are not counted.
    keys_invalidated: int
    #: How many running leases of `keys` were voided.
    leases_voided: int


class BaseClient(ABC, Generic[C]):
    """The options of a client, and the steps of its calls."""

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        tls_ca: str | None = None,
        connect: Seconds = DEFAULT_CONNECT_S,
        namespace: str = "",
        holder: str | None = None,
        on_unavailable: OnUnavailable = "rebuild",
        hooks: Hooks | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """Makes a client.

        target: `HOST:PORT`, `unix:///path` or `dns:///HOST:PORT`, whose addresses are used in turn. Default:
            `DIBS_TARGET`, else `127.0.0.1:50051`.
        token: sent as `authorization: Bearer`. Default: `DIBS_TOKEN`, else none.
        tls_ca: path of a PEM file with the authorities to trust; turns TLS on. Default: `DIBS_TLS_CA`, else no TLS.
            Raises OSError where it cannot be read.
        connect: how long a connection may take before the service counts as out of reach. Default: 2 s.
        namespace: of calls that name none. Default: the service's `default`.
        holder: what this process is called in Explain and logs. Default: host name and process id.
        on_unavailable: what `get_or_rebuild` does when the service cannot be reached. Default: `rebuild`, one at a
            time for each key; `fail` raises the ServiceError.
        hooks: hears what happens.
        tracer_provider: makes the spans of rebuilds. Default: OpenTelemetry's global one, if that is installed.
        """
        self._connection: Connection = connection_of(target, token, tls_ca, connect, os.environ)
        self._defaults = Defaults(namespace, default_holder() if holder is None else holder, on_unavailable)
        self._hooks = Hooks() if hooks is None else hooks
        self._tracing = tracing_by(tracer_provider)
        self._crew = self._make_crew()

    @abstractmethod
    def _make_crew(self) -> C:
        """What drives the steps; it connects with the first call."""

    def _terms(self, key: str, options: RebuildOptions) -> Terms:
        return terms_of(key, options, self._defaults)

    def _steps(self, terms: Terms, rebuild: Callable[[Grant, Any], Any]) -> Steps[bytes | None]:
        return fetch_loop(Task(terms, self._hooks, rebuild, self._tracing.of_caller(terms.traceparent)))

    def _invalidation(
        self, keys: Sequence[str], tags: Sequence[str], everything: bool, mode: Mode, namespace: str | None
    ) -> Steps[Invalidated]:
        request = pb.InvalidateRequest(
            namespace=self._defaults.namespace if namespace is None else namespace,
            keys=names("keys", keys),
            tags=names("tags", tags),
            all=everything,
            mode=one_of("mode", mode, _MODES),
        )
        traceparent = self._tracing.of_caller().traceparent
        response: pb.InvalidateResponse = yield Call("Invalidate", request, _INVALIDATE_S, traceparent)
        return Invalidated(response.keys_invalidated, response.leases_voided)


def told(grant: Grant, codec: Codec[T]) -> tuple[int, str, bool, T | None]:
    """The grant as a rebuild wants it. A value before in another format is as good as none: it is replaced."""
    if not grant.has_previous or grant.previous is None:
        return grant.fence, grant.reason, grant.has_previous, None
    try:
        return grant.fence, grant.reason, True, codec.decode(grant.previous)
    except Exception:
        return grant.fence, grant.reason, False, None


def wants_context(fn: Callable[..., Any]) -> bool:
    """Whether a rebuild has a parameter that must be given; one with a default is the caller's own."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        # Something built in that does not say.
        return False
    return any(p.kind in _POSITIONAL and p.default is p.empty for p in parameters)


def key_maker(key: str | Callable[..., str], fn: Callable[..., Any]) -> Callable[..., str]:
    """Makes the key of a call of `fn`. Raises ValueError where the template names what `fn` does not have."""
    if not isinstance(key, str):
        return key
    signature = inspect.signature(fn)
    fields = [field for _, field, _, _ in string.Formatter().parse(key) if field is not None]
    for field in fields:
        if field.split(".")[0].split("[")[0] not in signature.parameters:
            raise ValueError(f"key {key!r}: {fn.__qualname__} has no parameter {field!r}")

    @functools.wraps(fn)
    def made(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return key.format_map(bound.arguments)

    return made
