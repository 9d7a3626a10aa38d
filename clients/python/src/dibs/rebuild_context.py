"""What a rebuild is told."""

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
    #: Grows with each lease of the key; give it to the source, if that checks fences. 0 if there is none.
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
    """What a rebuild of an AsyncClient is told. It is cancelled when no caller waits for it any more."""

    #: Set when the lease is lost. Stop then, by raising LeaseLostError or anything else.
    lost: asyncio.Event


def told(grant: Grant, codec: Codec[T]) -> tuple[int, str, bool, T | None]:
    """The grant as a rebuild wants it. A value before in another format is as good as none: it is replaced."""
    if not grant.has_previous or grant.previous is None:
        return grant.fence, grant.reason, grant.has_previous, None
    try:
        return grant.fence, grant.reason, True, codec.decode(grant.previous)
    except Exception:
        return grant.fence, grant.reason, False, None


def wants_context(fn: Callable[..., Any], given: int = 0) -> bool:
    """Whether a rebuild has a parameter that must be given, besides those that are; one with a default is its own."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        # Something built in that does not say.
        return False
    return sum(p.kind in _POSITIONAL and p.default is p.empty for p in parameters) > given
