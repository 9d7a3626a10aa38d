"""The actions of a call. Steps are generators: they decide, and a driver acts.

Steps yield one of the acts below and are resumed with its result, or with its error thrown in. They use no thread, no
event loop and no network, so that `threads.py` and `loop.py` drive the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from dibs.rebuilding import Ended, Rebuilding

if TYPE_CHECKING:
    from dibs.values import Result

T = TypeVar("T")


class Abandoned(BaseException):
    """Thrown into steps that no caller waits for any more. They may still yield what must be put in order."""


@dataclass(frozen=True)
class Call:
    """One unary call; resumed with its response, or with a ServiceError."""

    method: str
    request: Any
    #: How long to wait for the response, in seconds.
    timeout: float
    traceparent: str = ""
    #: Whether the call is cancelled when all callers have left.
    leavable: bool = False
    #: Whether it ends a lease. A loop that ends cancels its tasks, but does not recall this, because the lease would
    #: then be kept until it expires.
    ends_lease: bool = False
    #: Its response, if it was already sent together with others.
    answer: Future[Any] | None = None

    def has_answer(self) -> bool:
        """For a caller that has left: an answer that came already may be a lease, which must be given back."""
        return self.answer is not None and not self.answer.cancel()


@dataclass(frozen=True)
class Sleep:
    """A pause until `time.monotonic()` is `until`."""

    until: float
    leavable: ClassVar[bool] = True


@dataclass(frozen=True)
class Grant:
    """The lease of a rebuild."""

    fence: int
    reason: str
    has_previous: bool = False
    #: None if the source had nothing, or if `has_previous` is false.
    previous: bytes | None = None


@dataclass(frozen=True)
class Run:
    """The caller's own rebuild; resumed with its result."""

    #: Called with the grant and an event that is set when the lease is lost. For a loop, it is awaitable.
    rebuild: Callable[[Grant, Any], Any]
    grant: Grant
    #: Callers that joined late, and the way to void the lease.
    running: Rebuilding
    #: Steps that run during the rebuild and end when the lease is void; None without a lease to keep. They call their
    #: argument when the lease's time is over without notice from the service.
    keep: Callable[[Callable[[], None]], Steps[None]] | None = None
    #: Called once, when the lease is lost.
    on_lost: Callable[[], None] = lambda: None
    #: The context of the rebuild.
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    leavable: ClassVar[bool] = True


@dataclass(frozen=True)
class Ran:
    """The result of a rebuild."""

    result: Result | None
    error: Exception | None
    #: The rebuild was told that its lease is lost.
    lost: bool
    #: The lease is void: the result would not be stored, and counts for no caller.
    void: bool = False


class Loss:
    """How the lease of one rebuild was lost, if it was. `tell` sets the rebuild's event."""

    def __init__(self, run: Run, tell: Callable[[], None]) -> None:
        self.lost = False
        self.void = False
        self._run = run
        self._tell = tell

    def over(self) -> None:
        """The lease's time is over: its result may still be stored."""
        if not self.lost:
            self.lost = True
            self._tell()
            self._run.on_lost()

    def came_with_its_lease(self) -> bool:
        """Whether it came before the rebuild. Call it when `running.void` is set."""
        lost = self._run.running.lost
        if lost:
            self.voided()
        return lost

    def voided(self) -> None:
        """The service says that it is over. Callers ask again, without waiting for the rebuild to stop."""
        self.void = True
        self._run.running.end(Ended())
        self.over()


@dataclass(frozen=True)
class Behind:
    """Steps that continue by themselves; resumed at once. Their errors are their own."""

    steps: Steps[None]
    leavable: ClassVar[bool] = False


@dataclass(frozen=True)
class Join:
    """A late caller's wait for a rebuild that runs here; resumed with Ended, or None at `until`."""

    running: Rebuilding
    until: float
    leavable: ClassVar[bool] = True


Act: TypeAlias = Call | Sleep | Run | Behind | Join
Steps: TypeAlias = Generator[Act, Any, T]
