"""What a rebuild gets."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dibs.codec import Codec
from dibs.steps import Grant

T = TypeVar("T")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class _Lease(Generic[T]):
    #: Grows with each lease of the key. Pass it to the source if that checks fences. 0 if there is none.
    fence: int
    #: Why the lease was granted, such as `miss` or `expired`; `local` if the service could not be reached.
    reason: str
    #: A previous value is known, and the codec can still read it.
    has_previous: bool
    #: The previous value, for a source that can answer "not modified". None if the source had nothing, or if none is
    #: known.
    previous: T | None


@dataclass(frozen=True)
class Rebuild(_Lease[T]):
    """What a rebuild of a Client gets."""

    #: Set when the lease is lost. Then stop, by raising LeaseLostError or anything else.
    lost: threading.Event


@dataclass(frozen=True)
class AsyncRebuild(_Lease[T]):
    """What a rebuild of an AsyncClient gets. It is cancelled when no caller waits for it any more."""

    #: Set when the lease is lost. Then stop, by raising LeaseLostError or anything else.
    lost: asyncio.Event


def told(grant: Grant, codec: Codec[T]) -> tuple[int, str, bool, T | None]:
    """The grant for a rebuild. A previous value in another format counts as none, because it is replaced."""
    if not grant.has_previous or grant.previous is None:
        return grant.fence, grant.reason, grant.has_previous, None
    try:
        return grant.fence, grant.reason, True, codec.decode(grant.previous)
    except Exception:
        return grant.fence, grant.reason, False, None


def wants_context(fn: Callable[..., Any], given: int = 0) -> bool:
    """Whether a rebuild has one more required parameter than these. One with a default is its own."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        # A built-in that does not describe its parameters.
        return False
    return sum(p.kind in _POSITIONAL and p.default is p.empty for p in parameters) > given
