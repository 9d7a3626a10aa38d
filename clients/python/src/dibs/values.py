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

        Raises InvalidOptionError for what is out of bounds.
        """
        self.value = value
        self.store = store
        self._ttl_ms = None if ttl is None else ttl_ms_of("ttl", ttl)
        self._stale_ms = stale_ms_of(stale_ttl)
        self._tags = None if tags is None else tags_of(tags)


@dataclass(frozen=True)
class Result:
    """What a rebuild returned, ready to be sent. None is the call's option."""

    data: bytes | None
    ttl_ms: int | None = None
    stale_ms: int | None = None
    tags: tuple[str, ...] | None = None
    store: bool = True


def result_of(returned: Any, codec: Codec[Any]) -> Result:
    """Raises what the codec raises."""
    told = returned if isinstance(returned, Value) else Value(returned)
    data = None if told.value is None else codec.encode(told.value)
    return Result(data, told._ttl_ms, told._stale_ms, told._tags, told.store)
