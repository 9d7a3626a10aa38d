"""Steps driven by threads: the caller's own, and where steps go on behind, one for each."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from contextvars import copy_context
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from dibs.errors import ServiceError
from dibs.steps import Abandoned, Act, Call, Ran, Run, Sleep, Steps, Together

T = TypeVar("T")


class LeftError(Exception):
    """The time of whoever drives is over. The steps are where they were, for the next one to go on."""


class Link(Protocol):
    """How calls travel."""

    @property
    def stub(self) -> Any: ...
    def call(self, call: Call) -> Future[Any]: ...
    def close(self) -> None: ...


class Crew:
    """What the steps of one client share."""

    def __init__(self, open_link: Callable[[], Link]) -> None:
        self.flights: Flights[bytes | None] = Flights(self)
        #: Rebuilds of this process that go without the service: one at a time for each key.
        self.local: Flights[bytes | None] = Flights(self)
        self._open_link = open_link
        self._link: Link | None = None
        self._idle = threading.Condition()
        self._busy = 0
        self._closed = False

    @property
    def link(self) -> Link:
        """Opened by the first call."""
        with self._idle:
            if self._link is None:
                self._link = self._open_link()
            return self._link

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Around every call of a user's. Raises ServiceError when the client is closed."""
        if self._closed:
            raise ServiceError("CANCELLED", "this client is closed")
        self._begin()
        try:
            yield
        finally:
            self._end()

    def start(self, work: Callable[[], None]) -> None:
        """Does it in a thread of its own, which a process that ends does not wait for."""
        threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()

    def behind(self, drive: Callable[[], None]) -> None:
        """Steps that go on without a caller, and that `close` waits for."""
        self._begin()

        def work() -> None:
            try:
                drive()
            finally:
                self._end()

        self.start(work)

    def close(self, grace: float) -> None:
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._busy == 0, grace)
            if self._link is not None:
                self._link.close()

    def _begin(self) -> None:
        with self._idle:
            self._busy += 1

    def _end(self) -> None:
        with self._idle:
            self._busy -= 1
            self._idle.notify_all()


class Course(Generic[T]):
    """Steps on their way, driven by one thread at a time."""

    def __init__(self, steps: Steps[T], crew: Crew) -> None:
        self.result: Future[T] = Future()
        #: Set when nobody needs these steps any more; whoever drives them leaves at the next pause.
        self.stop = threading.Event()
        self._crew = crew
        self._steps = steps
        self._act: Act | None = None
        self._sent: Future[Any] | None = None
        self._abandoned = False

    def drive(self, until: float = math.inf) -> None:
        """Goes on until `result` is there. Raises LeftError at `until`, a time of `time.monotonic()`."""
        try:
            if self._act is None:
                self._act = next(self._steps)
            while True:
                self._act = self._advance(self._act, until)
        except StopIteration as end:
            self.result.set_result(end.value)
        except LeftError:
            raise
        except (Exception, Abandoned) as error:
            self.result.set_exception(error)
        except BaseException as interrupt:
            # Between two acts the steps live on; within, as when a hook is interrupted, they have ended with it.
            if inspect.getgeneratorstate(self._steps) == inspect.GEN_CLOSED:
                self.result.set_exception(interrupt)
            raise

    def abandon(self) -> None:
        """Nobody waits any more: drives on to where everything is in order."""
        self._abandoned = True
        self.drive()

    def _advance(self, act: Act, until: float) -> Act:
        try:
            if self._abandoned and act.leavable and not self._answered():
                raise Abandoned
            result = self._perform(act, until)
        except LeftError:
            raise
        except (Exception, Abandoned) as error:
            return self._steps.throw(error)
        return self._steps.send(result)

    def _answered(self) -> bool:
        """An answer that has come just now may be a lease, which somebody has to give back."""
        if self._sent is not None and self._sent.cancel():
            self._sent = None
        return self._sent is not None

    def _perform(self, act: Act, until: float) -> Any:
        if isinstance(act, Call):
            return self._call(act, until)
        if isinstance(act, Sleep):
            return self._sleep(act.until, until)
        if isinstance(act, Run):
            return self._run(act)
        if isinstance(act, Together):
            return self._crew.local.join(act.id, act.start, until)
        return self._crew.behind(Course(act.steps, self._crew).drive)

    def _call(self, call: Call, until: float) -> Any:
        if self._sent is None:
            self._sent = self._crew.link.call(call)
        sent = self._sent
        try:
            result = sent.result(_left(until))
        except FutureTimeoutError:
            raise LeftError from None
        except Exception:
            self._sent = None
            raise
        self._sent = None
        return result

    def _sleep(self, at: float, until: float) -> None:
        if self.stop.wait(_left(min(at, until))) or until < at:
            raise LeftError

    def _run(self, run: Run) -> Ran:
        """In the thread that drives, which cannot leave meanwhile: connections are often a thread's own."""
        lost = threading.Event()
        keeper = None if run.keep is None else Course(run.keep(), self._crew)

        def keep() -> None:
            assert keeper is not None
            try:
                keeper.drive()
            except LeftError:
                return
            if not keeper.stop.is_set():
                lost.set()
                run.on_lost()

        value, failed = None, None
        try:
            if keeper is not None:
                self._crew.start(keep)
            with run.around():
                value = run.rebuild(run.grant, lost)
        except Exception as error:
            failed = error
        finally:
            if keeper is not None:
                keeper.stop.set()
        return Ran(value, failed, lost.is_set())


class _Flight(Generic[T]):
    """One call that several callers share. Written under the lock of its Flights."""

    def __init__(self, course: Course[T], lock: threading.Lock) -> None:
        self.course = course
        self.callers = 0
        self._turn = threading.Condition(lock)
        self._driver: int | None = None

    def fly(self, until: float) -> T:
        """Drives it, or waits until the result is there or the one who drives has left. Raises LeftError."""
        result, me = self.course.result, threading.get_ident()
        with self._turn:
            if self._driver == me:
                raise RuntimeError("the rebuild of a key asks for that key itself, and would wait for ever")
            free = self._turn.wait_for(lambda: self._driver is None or result.done(), _left(until))
            if not free:
                raise LeftError
            if result.done():
                return result.result()
            self._driver = me
        try:
            self.course.drive(until)
        finally:
            with self._turn:
                self._driver = None
                self._turn.notify_all()
        return result.result()


class Flights(Generic[T]):
    """Joins equal calls inside one process: those who come while one is under way share its result.

    Each caller can leave at its own time; another one drives on then, and the call is abandoned when all have left.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[T]] = {}

    def join(self, id: Hashable, start: Callable[[], Steps[T]], until: float) -> T:  # noqa: A002
        """Raises what the steps raise, and LeftError at `until`, a time of `time.monotonic()`."""
        with self._lock:
            flight = self._flights.get(id)
            if flight is None or flight.course.result.done():
                flight = self._flights[id] = _Flight(Course(start(), self._crew), self._lock)
            flight.callers += 1
        try:
            return flight.fly(until)
        finally:
            self._leave(id, flight)

    def _leave(self, id: Hashable, flight: _Flight[T]) -> None:  # noqa: A002
        with self._lock:
            flight.callers -= 1
            over = flight.course.result.done()
            abandoned = flight.callers == 0 and not over
            # Only the flight that is still its own: another may have begun since this one was over.
            if (over or abandoned) and self._flights.get(id) is flight:
                del self._flights[id]
        if abandoned:
            self._crew.behind(flight.course.abandon)


def _left(until: float) -> float | None:
    """The time until then in seconds, as waiting wants it: None for ever."""
    return None if until == math.inf else max(0.0, until - monotonic())
