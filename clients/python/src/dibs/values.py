"""What a rebuild returns where it has more to say than the value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dibs.codec import Codec
from dibs.options import Seconds, stale_ms_of, tags_of, ttl_ms_of

T = TypeVar("T")


class Value(Generic[T]):
    """A value with options of its own, which go before those of the call: a rebuild may return one."""

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

        value: None where the source has nothing.
        ttl: how long it is fresh, also for None. Default: the call's.
        stale_ttl: how long after that it may be served stale. Default: the call's.
        tags: names to invalidate it by, in place of the call's.
        store: False gives the value to this caller, and to callers that joined before the lease came. It is not
            stored, and other callers rebuild.

        What is out of bounds cannot be stored: the caller gets the value, and the hook `not_storable` is told.
        """
        self.value = value
        self.ttl = ttl
        self.stale_ttl = stale_ttl
        self.tags = tags
        self.store = store


@dataclass(frozen=True)
class Result:
    """What a rebuild returned, ready to be sent. None is the call's option."""

    data: bytes | None
    ttl_ms: int | None = None
    stale_ms: int | None = None
    tags: tuple[str, ...] | None = None
    store: bool = True
    #: Why it cannot be stored.
    refused: Exception | None = None


def result_of(returned: Any, codec: Codec[Any]) -> Result:
    """Raises what the codec raises, and TypeError where it makes no bytes."""
    own = returned if isinstance(returned, Value) else Value(returned)
    data = None if own.value is None else _bytes_of(codec.encode(own.value))
    try:
        ttl_ms = None if own.ttl is None else ttl_ms_of("ttl", own.ttl)
        tags = None if own.tags is None else tags_of(own.tags)
        return Result(data, ttl_ms, stale_ms_of(own.stale_ttl), tags, own.store)
    except Exception as error:
        # The source has answered, and what it said is the caller's.
        return Result(data, store=own.store, refused=error)


def _bytes_of(encoded: object) -> bytes:
    """Anything else could not be sent, after the source has answered; None would count as absent."""
    if isinstance(encoded, (bytes, bytearray, memoryview)):
        return bytes(encoded)
    raise TypeError(f"the codec's encode returned {type(encoded).__name__}: return bytes")
