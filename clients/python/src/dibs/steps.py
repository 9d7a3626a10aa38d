"""What a call may want done. Steps are generators: they decide, and whoever drives them acts.

Steps yield one of the acts below and are resumed with its result, or with its error thrown in. They touch no
thread, no event loop and no network, so that `threads.py` and `loop.py` drive the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

T = TypeVar("T")


class Abandoned(BaseException):
    """Thrown into steps that nobody waits for any more. They may still yield what has to be put in order."""


@dataclass(frozen=True)
class Call:
    """One unary call; resumed with its response, or with a ServiceError."""

    method: str
    request: Any
    #: How long the response is waited for, in seconds.
    timeout: float
    traceparent: str = ""
    #: Whether whoever has left takes the call with them.
    leavable: bool = False


@dataclass(frozen=True)
class Sleep:
    """A pause until `time.monotonic()` is `until`."""

    until: float
    leavable: ClassVar[bool] = True


@dataclass(frozen=True)
class Grant:
    """What a rebuild is told of its lease."""

    fence: int
    reason: str
    has_previous: bool = False
    #: None where the source had nothing, or where `has_previous` is false.
    previous: bytes | None = None


@dataclass(frozen=True)
class Run:
    """The caller's own rebuild; resumed with what it came to."""

    #: Called with the grant and an event that is set when the lease is lost; for a loop, awaitable.
    rebuild: Callable[[Grant, Any], Any]
    grant: Grant
    #: Steps that run beside the rebuild and end when the lease is lost; None where there is none to keep.
    keep: Callable[[], Steps[None]] | None = None
    on_lost: Callable[[], None] = lambda: None
    #: What the rebuild runs within.
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    leavable: ClassVar[bool] = True


@dataclass(frozen=True)
class Ran:
    """What a rebuild came to: a value or an error, and whether its lease was lost meanwhile."""

    value: bytes | None
    error: Exception | None
    lost: bool


@dataclass(frozen=True)
class Behind:
    """Steps that go on by themselves; resumed at once. Their errors are their own."""

    steps: Steps[None]
    leavable: ClassVar[bool] = False


@dataclass(frozen=True)
class Together:
    """Steps that equal ones of this process share; resumed with their result or error."""

    id: Hashable
    start: Callable[[], Steps[Any]]
    leavable: ClassVar[bool] = True


Act: TypeAlias = Call | Sleep | Run | Behind | Together
Steps: TypeAlias = Generator[Act, Any, T]
