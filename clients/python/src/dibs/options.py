"""What a client and a call may say, and what stands in place of what they do not say."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict, TypeVar, overload

from dibs.v1 import coordinator_pb2 as pb

T = TypeVar("T")
#: A time: seconds, or a timedelta. It is sent in whole milliseconds.
Seconds: TypeAlias = float | timedelta
OnUnavailable: TypeAlias = Literal["rebuild", "fail"]

DEFAULT_WAIT_S = 30.0
#: TCP repeats the first packet that is lost after one second.
DEFAULT_CONNECT_S = 2.0
_DEFAULT_TARGET = "127.0.0.1:50051"
_INT64_MAX = 2**63 - 1
_STALE = {None: pb.STALE_UNSPECIFIED, "allow": pb.STALE_ALLOW, "forbid": pb.STALE_FORBID}
_WAIT_FOR_REBUILD: Mapping[str | None, bool] = {None: False, "background": False, "await": True}
_REBUILD_LOCALLY: Mapping[str | None, bool] = {"rebuild": True, "fail": False}
_READ = {None: pb.READ_UNSPECIFIED, "near": pb.READ_NEAR, "store": pb.READ_STORE}


class _Required(TypedDict):
    #: How long the value is fresh: 1 ms to a year.
    ttl: Seconds


class RebuildOptions(_Required, total=False):
    """The options of one `get_or_rebuild`. None is as good as not said."""

    #: How long after `ttl` it may be served stale. Default: as the namespace's policy says.
    stale_ttl: Seconds | None
    #: In place of `ttl` for the knowledge that there is nothing. Default: `ttl`.
    absent_ttl: Seconds | None
    #: Names to invalidate the value by: at most 16, each of 1 to 256 bytes.
    tags: Sequence[str]
    #: Default: the client's.
    namespace: str | None
    #: How long to wait for somebody else's rebuild; 0 does not wait. Default: 30 s.
    wait: Seconds | None
    #: How long the lease lasts; it is extended while the rebuild runs. Default: learned by the service.
    lease: Seconds | None
    #: Whether a stale value is a good answer. Default: as the namespace's policy says.
    stale: Literal["allow", "forbid"] | None
    #: `store`: nothing that was invalidated before this call began is returned. Default: `near`.
    read: Literal["near", "store"] | None
    #: Rebuild now, although the value may be fresh. Default: false.
    refresh: bool
    #: Where there is a value to serve meanwhile: `background` serves it and lets the rebuild go on, `await`
    #: waits for the rebuild. Default: `background`; with `refresh` always `await`.
    revalidate: Literal["background", "await"] | None
    #: What to do when the service cannot be reached. Default: the client's.
    on_unavailable: OnUnavailable | None
    #: The W3C traceparent to pass on. Default: that of OpenTelemetry's current span.
    traceparent: str | None


_REQUIRED = RebuildOptions.__required_keys__
_KNOWN = _REQUIRED | RebuildOptions.__optional_keys__


@dataclass(frozen=True)
class Defaults:
    """What the client says for its calls."""

    namespace: str
    holder: str
    on_unavailable: OnUnavailable


@dataclass(frozen=True)
class Terms:
    """One call, with nothing left open. Times are milliseconds."""

    namespace: str
    key: str
    holder: str
    ttl_ms: int
    stale_ms: int | None
    absent_ttl_ms: int
    tags: tuple[str, ...]
    wait_ms: int | None
    lease_ms: int | None
    stale: pb.Stale.ValueType
    read: pb.Read.ValueType
    refresh: bool
    wait_for_rebuild: bool
    rebuild_locally: bool
    traceparent: str

    @property
    def flight(self) -> Hashable:
        """Calls with the same of these get the same answer, so that one of them asks for all.

        Whoever reads the store or refreshes wants what is newer than the call, and not what an earlier one reads.
        """
        if self.refresh or self.read == pb.READ_STORE:
            return uuid.uuid4()
        return (self.namespace, self.key, self.stale, self.wait_for_rebuild, self.wait_ms, self.rebuild_locally)


def terms_of(key: str, options: RebuildOptions, defaults: Defaults) -> Terms:
    """Raises ValueError or TypeError for an option that cannot even be sent; the service checks the bounds."""
    for name in options.keys() - _KNOWN | _REQUIRED - options.keys():
        raise TypeError(f"{name}: {'no such option' if name in options else 'this option is required'}")
    ttl_ms = milliseconds(options["ttl"])
    absent_ttl_ms = milliseconds(options.get("absent_ttl"))
    namespace = options.get("namespace")
    return Terms(
        namespace=defaults.namespace if namespace is None else namespace,
        key=key,
        holder=defaults.holder,
        ttl_ms=ttl_ms,
        stale_ms=milliseconds(options.get("stale_ttl")),
        absent_ttl_ms=ttl_ms if absent_ttl_ms is None else absent_ttl_ms,
        tags=names("tags", options.get("tags", ())),
        wait_ms=milliseconds(options.get("wait")),
        lease_ms=milliseconds(options.get("lease")),
        stale=one_of("stale", options.get("stale"), _STALE),
        read=one_of("read", options.get("read"), _READ),
        refresh=options.get("refresh", False),
        wait_for_rebuild=one_of("revalidate", options.get("revalidate"), _WAIT_FOR_REBUILD),
        rebuild_locally=one_of(
            "on_unavailable", options.get("on_unavailable") or defaults.on_unavailable, _REBUILD_LOCALLY
        ),
        traceparent=options.get("traceparent") or "",
    )


@overload
def milliseconds(time: Seconds) -> int: ...
@overload
def milliseconds(time: None) -> None: ...
def milliseconds(time: Seconds | None) -> int | None:
    """Raises ValueError for what is no number of milliseconds in 64 bits."""
    if time is None:
        return None
    seconds = seconds_of(time)
    if not abs(seconds) * 1_000 < _INT64_MAX:
        raise ValueError(f"{seconds} is not a number of seconds that can be sent")
    return round(seconds * 1_000)


def seconds_of(time: Seconds) -> float:
    """The time in seconds."""
    return time.total_seconds() if isinstance(time, timedelta) else time


def names(what: str, given: Sequence[str]) -> tuple[str, ...]:
    """Raises TypeError for a single text, which would be taken for its letters."""
    if isinstance(given, str):
        raise TypeError(f"{what}: give a list of names, not the text {given!r}")
    return tuple(given)


def one_of(what: str, word: str | None, known: Mapping[str | None, T]) -> T:
    """Raises ValueError, with the words that there are, for any other."""
    if word not in known:
        raise ValueError(f"{what}: {word!r} is none of {', '.join(w for w in known if w is not None)}")
    return known[word]


@dataclass(frozen=True)
class Connection:
    """Where and as whom to call."""

    target: str
    token: str
    #: The certificates of those to trust, as PEM; None for no TLS.
    authorities: bytes | None
    connect_ms: int


def connection_of(
    target: str | None, token: str | None, tls_ca: str | None, connect: Seconds, env: Mapping[str, str]
) -> Connection:
    """What the caller says, else what the environment says; a variable that is empty says nothing.

    Raises OSError where the file of authorities cannot be read.
    """

    def said(option: str | None, variable: str, default: str) -> str:
        return option if option is not None else env.get(variable) or default

    authorities = said(tls_ca, "DIBS_TLS_CA", "")
    return Connection(
        target=said(target, "DIBS_TARGET", _DEFAULT_TARGET),
        token=said(token, "DIBS_TOKEN", ""),
        authorities=Path(authorities).read_bytes() if authorities else None,
        connect_ms=milliseconds(connect),
    )


def default_holder() -> str:
    """Host name and process id; at most 256 bytes, as the contract says."""
    return f"{socket.gethostname()[:200]}/{os.getpid()}"
