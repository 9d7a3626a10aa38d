"""The options of clients and calls, and their defaults."""

from __future__ import annotations

import math
import os
import socket
import uuid
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

from dibs.errors import InvalidOptionError, ServiceError
from dibs.v1 import coordinator_pb2 as pb

T = TypeVar("T")
#: A time: seconds, or a timedelta. It is sent in whole milliseconds.
Seconds: TypeAlias = float | timedelta
OnUnavailable: TypeAlias = Literal["rebuild", "fail"]

DEFAULT_WAIT_S = 30.0
#: A rebuild that runs longer hangs: its lease is no longer extended, and other callers may rebuild.
DEFAULT_LEASE_HOLD_MAX_S = 600.0
#: The contract's bounds.
_YEAR_MS = 31_536_000_000
_TAGS_MAX = 16
TAG_BYTES_MAX = 256
_KEY_BYTES_MAX = 1_024
_NAMESPACE_BYTES_MAX = 64
_HOLDER_BYTES_MAX = 256
#: Far longer than one is.
_TRACEPARENT_BYTES_MAX = 1_024
#: The largest number that every language of the contract can represent.
_MS_MAX = 2**53 - 1
_STALE = {None: pb.STALE_UNSPECIFIED, "allow": pb.STALE_ALLOW, "forbid": pb.STALE_FORBID}
_WAIT_FOR_REBUILD: Mapping[str | None, bool] = {None: False, "background": False, "await": True}
_REBUILD_LOCALLY: Mapping[str | None, bool] = {"rebuild": True, "fail": False}
#: The contract's names of times, by which an error names them in every language.
_FIELDS = {
    "ttl": "ttl_ms",
    "stale_ttl": "stale_ms",
    "absent_ttl": "absent_ttl_ms",
    "wait": "wait_ms",
    "lease": "lease_ms",
}
_READ = {None: pb.READ_UNSPECIFIED, "near": pb.READ_NEAR, "store": pb.READ_STORE}


class _Required(TypedDict):
    #: How long the value is fresh: 1 ms to a year.
    ttl: Seconds


class RebuildOptions(_Required, total=False):
    """The options of one `get_or_rebuild`. None means not set."""

    #: How long after `ttl` it may be served stale: 0 to a year. Default: the namespace's policy.
    stale_ttl: Seconds | None
    #: Replaces `ttl` if the source has nothing. Default: `ttl`.
    absent_ttl: Seconds | None
    #: Tags that invalidate the value: at most 16, each of 1 to 256 bytes.
    tags: Sequence[str]
    #: Default: the client's namespace.
    namespace: str | None
    #: How long to wait for another caller's rebuild; 0 does not wait. Default: 30 s.
    wait: Seconds | None
    #: The length of the lease. It is extended during the rebuild. Default: learned by the service.
    lease: Seconds | None
    #: Whether a stale value is acceptable. Default: the namespace's policy.
    stale: Literal["allow", "forbid"] | None
    #: `store`: returns nothing that was invalidated before this call began. Default: `near`.
    read: Literal["near", "store"] | None
    #: Rebuild now, even if the value is fresh. Default: false.
    refresh: bool
    #: If there is a value to serve in the meantime: `background` returns it and continues the rebuild, `await` waits
    #: for the rebuild. Default: `background`; with `refresh` always `await`.
    revalidate: Literal["background", "await"] | None
    #: With `revalidate="await"`: serve the stale value if the rebuild fails. Default: false.
    stale_if_error: bool
    #: What to do if the service cannot be reached. Default: the client's.
    on_unavailable: OnUnavailable | None
    #: The W3C traceparent to pass on. Default: that of OpenTelemetry's current span.
    traceparent: str | None


class GetOptions(TypedDict, total=False):
    """The options of one `get`, as in RebuildOptions. None means not set."""

    namespace: str | None
    #: How long to wait for a running rebuild. Default: 0, which does not wait.
    wait: Seconds | None
    stale: Literal["allow", "forbid"] | None
    read: Literal["near", "store"] | None
    traceparent: str | None


class SetOptions(_Required, total=False):
    """The options of one `set`, as in RebuildOptions. None means not set."""

    stale_ttl: Seconds | None
    tags: Sequence[str]
    namespace: str | None
    #: How long to wait for a running rebuild before the value is stored. Default: 30 s.
    wait: Seconds | None
    traceparent: str | None


_REQUIRED = RebuildOptions.__required_keys__
_KNOWN = _REQUIRED | RebuildOptions.__optional_keys__


@dataclass(frozen=True)
class Defaults:
    """The client's defaults for its calls."""

    namespace: str
    #: None: host name and process id, which a fork changes.
    holder: str | None
    on_unavailable: OnUnavailable
    lease_hold_max_s: float = DEFAULT_LEASE_HOLD_MAX_S


@dataclass(frozen=True)
class Terms:
    """One call with all options resolved. Times are milliseconds."""

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
    stale_if_error: bool
    rebuild_locally: bool
    traceparent: str
    lease_hold_max_s: float
    #: The fence of a value that the codec could not read. It is rebuilt once, unless there is a newer one.
    unreadable_fence: int | None = None
    #: When the call began, from which its wait counts, a time of `time.monotonic()`.
    began_at: float = field(default_factory=monotonic)

    @property
    def id(self) -> tuple[str, str]:
        """What is rebuilt."""
        return (self.namespace or "default", self.key)

    @property
    def shares(self) -> bool:
        """Whether the result of a rebuild that began before this call is good enough.

        A caller that reads the store or refreshes needs something newer than its call.
        """
        return self.read != pb.READ_STORE and (not self.refresh or self.unreadable_fence is not None)

    @property
    def flight(self) -> Hashable:
        """Calls that agree in these get the same answer, so one request asks for those that come together."""
        if not self.shares:
            return uuid.uuid4()
        how = (self.stale, self.wait_for_rebuild, self.stale_if_error, self.rebuild_locally, self.unreadable_fence)
        return (self.id, self.wait_ms, *how)

    def rereading(self, fence: int) -> Terms:
        """The same call, for a value that the codec could not read."""
        return replace(self, refresh=True, unreadable_fence=fence)


def terms_of_get(key: str, options: GetOptions, defaults: Defaults) -> Terms:
    """Like `terms_of`."""
    _known_only(options, GetOptions.__optional_keys__)
    wait = options.get("wait")
    # Nothing is stored, so any TTL is fine.
    its: Any = {**options, "ttl": 1, "wait": 0 if wait is None else wait, "on_unavailable": "fail"}
    return terms_of(key, its, defaults)


def terms_of_set(key: str, options: SetOptions, defaults: Defaults) -> Terms:
    """Like `terms_of`."""
    _known_only(options, SetOptions.__required_keys__ | SetOptions.__optional_keys__)
    its: Any = {**options, "refresh": True, "on_unavailable": "fail"}
    return terms_of(key, its, defaults)


def _known_only(options: Mapping[str, object], known: frozenset[str]) -> None:
    for name in options.keys() - known:
        raise TypeError(f"{name}: no such option")


def terms_of(key: str, options: RebuildOptions, defaults: Defaults) -> Terms:
    """Raises InvalidOptionError, ValueError or TypeError for a wrong option, before anything is sent."""
    for name in options.keys() - _KNOWN | _REQUIRED - options.keys():
        raise TypeError(f"{name}: {'no such option' if name in options else 'this option is required'}")
    ttl_ms = ttl_ms_of("ttl", options["ttl"])
    absent_ttl = options.get("absent_ttl")
    namespace = options.get("namespace")
    return Terms(
        namespace=defaults.namespace if namespace is None else namespace_of(namespace),
        key=key_of(key),
        holder=default_holder() if defaults.holder is None else defaults.holder,
        ttl_ms=ttl_ms,
        stale_ms=stale_ms_of(options.get("stale_ttl")),
        absent_ttl_ms=ttl_ms if absent_ttl is None else ttl_ms_of("absent_ttl", absent_ttl),
        tags=tags_of(options.get("tags", ())),
        wait_ms=_optional_ms("wait", options.get("wait"), 0, _YEAR_MS),
        lease_ms=_optional_ms("lease", options.get("lease"), 1, _YEAR_MS),
        stale=one_of("stale", options.get("stale"), _STALE),
        read=one_of("read", options.get("read"), _READ),
        refresh=flag("refresh", options.get("refresh")),
        wait_for_rebuild=one_of("revalidate", options.get("revalidate"), _WAIT_FOR_REBUILD),
        stale_if_error=flag("stale_if_error", options.get("stale_if_error")),
        rebuild_locally=one_of(
            "on_unavailable", options.get("on_unavailable") or defaults.on_unavailable, _REBUILD_LOCALLY
        ),
        traceparent=text("traceparent", options.get("traceparent") or "", 0, _TRACEPARENT_BYTES_MAX),
        lease_hold_max_s=defaults.lease_hold_max_s,
    )


def ttl_ms_of(name: str, time: Seconds) -> int:
    """Raises InvalidOptionError for a time that the service would refuse."""
    return milliseconds(name, time, 1, _YEAR_MS)


def stale_ms_of(time: Seconds | None) -> int | None:
    """Raises InvalidOptionError for a time that the service would refuse."""
    return _optional_ms("stale_ttl", time, 0, _YEAR_MS)


def tags_of(given: Sequence[str]) -> tuple[str, ...]:
    """Raises InvalidOptionError for tags that the service would refuse."""
    tags = names("tags", given, 1, TAG_BYTES_MAX)
    if len(tags) > _TAGS_MAX:
        raise InvalidOptionError(f"tags: {len(tags)} are more than {_TAGS_MAX}")
    return tags


def milliseconds(name: str, time: Seconds, ms_min: int, ms_max: int) -> int:
    """Whole milliseconds. Raises InvalidOptionError outside the bounds; the message gives them like the contract."""
    seconds = seconds_of(time)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name}: {time!r} is neither a number of seconds nor a timedelta")
    ms = _whole(seconds * 1_000)
    if not ms_min <= ms <= ms_max:
        raise InvalidOptionError(f"{_FIELDS.get(name, name)}: {ms} is outside {ms_min} to {ms_max}")
    return int(ms)


def bounded_s(name: str, time: Seconds) -> float:
    """Seconds to wait for something. Raises InvalidOptionError outside of 0 to a year."""
    return milliseconds(name, time, 0, _YEAR_MS) / 1_000


def _whole(ms: float) -> float:
    """Rounded; up to a first millisecond, because a short time does not mean none."""
    # An integer may be too large for a float.
    if (isinstance(ms, float) and not math.isfinite(ms)) or abs(ms) > _MS_MAX:
        return ms
    return 1 if 0 < ms < 1 else round(ms)


def _optional_ms(name: str, time: Seconds | None, ms_min: int, ms_max: int) -> int | None:
    return None if time is None else milliseconds(name, time, ms_min, ms_max)


def seconds_of(time: Seconds) -> float:
    """The time in seconds."""
    return time.total_seconds() if isinstance(time, timedelta) else time


def names(what: str, given: Iterable[str], bytes_min: int = 0, bytes_max: int | None = None) -> tuple[str, ...]:
    """Raises TypeError for a single text, which would be taken for its letters; otherwise like `text`."""
    if isinstance(given, str):
        raise TypeError(f"{what}: give a list of names, not the string {given!r}")
    return tuple(text(f"{what}[{at}]", name, bytes_min, bytes_max) for at, name in enumerate(given))


def text(what: str, given: str, bytes_min: int = 0, bytes_max: int | None = None) -> str:
    """Raises TypeError for anything but text, and InvalidOptionError without a UTF-8 form or outside the bounds.

    What is too long for the service would end the session, with all calls and leases on it.
    """
    if not isinstance(given, str):
        raise TypeError(f"{what}: {given!r} is not a string")
    try:
        size = len(given.encode())
    except UnicodeEncodeError:
        raise InvalidOptionError(f"{what}: an unpaired surrogate is not text") from None
    if size < bytes_min or (bytes_max is not None and size > bytes_max):
        raise InvalidOptionError(f"{what}: {size} bytes is outside {bytes_min} to {bytes_max}")
    return given


def key_of(given: str, what: str = "key") -> str:
    """Raises like `text`, but ServiceError outside the bounds, because a key is no option."""
    size = len(text(what, given).encode())
    if not 1 <= size <= _KEY_BYTES_MAX:
        raise ServiceError("INVALID_ARGUMENT", f"{what}: {size} bytes is outside 1 to {_KEY_BYTES_MAX}")
    return given


def keys_of(given: Iterable[str]) -> tuple[str, ...]:
    """Raises like `names` and `key_of`."""
    return tuple(key_of(key, f"keys[{at}]") for at, key in enumerate(names("keys", given)))


def namespace_of(given: str) -> str:
    """Raises like `text`. The service knows which characters are allowed."""
    return text("namespace", given, 0, _NAMESPACE_BYTES_MAX)


def holder_of(given: str | None) -> str | None:
    """Raises like `text`."""
    return None if given is None else text("holder", given, 0, _HOLDER_BYTES_MAX)


def flag(what: str, given: bool | None) -> bool:
    """Raises TypeError for anything else. A text such as "false", from the environment, would count as true."""
    if given is not None and not isinstance(given, bool):
        raise TypeError(f"{what}: {given!r} is neither True nor False")
    return bool(given)


def one_of(what: str, word: str | None, known: Mapping[str | None, T]) -> T:
    """Raises ValueError, with the allowed words, for any other."""
    if word not in known:
        raise ValueError(f"{what}: {word!r} is not one of {', '.join(w for w in known if w is not None)}")
    return known[word]


def default_holder() -> str:
    """Host name and process id; at most 256 bytes, the contract's bound."""
    return f"{socket.gethostname()[:200]}/{os.getpid()}"
