"""What a rebuild returns if it sets more than the value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dibs.codec import Codec
from dibs.options import Seconds, stale_ms_of, tags_of, ttl_ms_of

T = TypeVar("T")


class Value(Generic[T]):
    """A value with its own options, which take precedence over those of the call. A rebuild may return one."""

    def __init__(
        self,
        value: T | None,
        *,
        ttl: Seconds | None = None,
        stale_ttl: Seconds | None = None,
        tags: Sequence[str] | None = None,
        store: bool = True,
    ) -> None:
        """Makes one.

        value: None if the source has nothing.
        ttl: how long it is fresh, also for None. Default: the call's.
        stale_ttl: how long after that it may be served stale. Default: the call's.
        tags: tags that invalidate it, instead of the call's.
        store: False gives the value to this caller, and to callers that joined before the lease came. It is not stored,
            and other callers rebuild.

        An option out of bounds means that it cannot be stored. The caller still gets the value, and the hook
        `not_storable` is called.
        """
        self.value = value
        self.ttl = ttl
        self.stale_ttl = stale_ttl
        self.tags = tags
        self.store = store


@dataclass(frozen=True)
class Result:
    """The result of a rebuild, ready to be sent. None means the call's option."""

    data: bytes | None
    ttl_ms: int | None = None
    stale_ms: int | None = None
    tags: tuple[str, ...] | None = None
    store: bool = True
    #: Why it cannot be stored.
    refused: Exception | None = None


def result_of(returned: Any, codec: Codec[Any]) -> Result:
    """Raises the codec's error, and TypeError if it makes no bytes."""
    own = returned if isinstance(returned, Value) else Value(returned)
    data = None if own.value is None else _bytes_of(codec.encode(own.value))
    try:
        ttl_ms = None if own.ttl is None else ttl_ms_of("ttl", own.ttl)
        tags = None if own.tags is None else tags_of(own.tags)
        return Result(data, ttl_ms, stale_ms_of(own.stale_ttl), tags, own.store)
    except Exception as error:
        # The source has answered, and its answer belongs to the caller.
        return Result(data, store=own.store, refused=error)


def _bytes_of(encoded: object) -> bytes:
    """Anything else could not be sent, after the source has answered. None would count as absent."""
    if isinstance(encoded, (bytes, bytearray, memoryview)):
        return bytes(encoded)
    raise TypeError(f"the codec's encode returned {type(encoded).__name__}: return bytes")
