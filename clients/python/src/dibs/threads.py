"""Steps driven by threads: the caller's own, and a separate one for each that continues in the background."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import threading
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import Context, copy_context
from time import monotonic
from typing import Any, Generic, TypeVar

from dibs.carrier import Carrier
from dibs.errors import ServiceError
from dibs.rebuilding import Answer, Ended, wait_ended
from dibs.reentry import outside
from dibs.steps import Abandoned, Act, Call, Join, Loss, Ran, Run, Sleep, Steps
from dibs.thread_waits import LeftError, VoidError, left_until

T = TypeVar("T")


class Crew:
    """What the steps of one client share."""

    def __init__(self, link: Carrier) -> None:
        self.flights = Flights(self)
        self.link = link
        self._idle = threading.Condition()
        self._busy = 0
        #: Of these, the steps that continue without a caller.
        self._behind = 0

    @contextlib.contextmanager
    def at_work(self) -> Generator[None]:
        """Around every call of a user. Raises ServiceError if the client is closed."""
        if self.link.closed:
            raise ServiceError("CANCELLED", "this client is closed")
        with self._counted():
            yield

    def start(self, work: Callable[[], None], context: Context | None = None) -> None:
        """Does it in a separate thread. A process that ends does not wait for it."""
        run = (copy_context() if context is None else context).run
        threading.Thread(target=run, args=(work,), daemon=True).start()

    def start_at_work(self, work: Callable[[], None]) -> None:
        """The same, and `close` waits for it."""
        self._start_counted(self._counted(), work)

    def behind(self, drive: Callable[[], None]) -> None:
        """Steps that continue without a caller. `flush` and `close` wait for them."""
        # No rebuild waits for it, so it is inside none.
        self._start_counted(self.at_work_behind(), drive, outside())

    @contextlib.contextmanager
    def at_work_behind(self) -> Generator[None]:
        """Around work that continues without a caller, in an existing thread."""
        with self._counted():
            with self._idle:
                self._behind += 1
            try:
                yield
            finally:
                with self._idle:
                    self._behind -= 1

    def flush(self, within: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: self._behind == 0, within)

    def close(self, grace: float) -> None:
        self.link.refuse()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, grace)
        self.link.close()

    def _start_counted(
        self, counted: contextlib.AbstractContextManager[None], work: Callable[[], None], context: Context | None = None
    ) -> None:
        counting = contextlib.ExitStack()
        counting.enter_context(counted)

        def run() -> None:
            with counting:
                work()

        try:
            self.start(run, context)
        except BaseException:
            # The process may be out of threads. What does not run holds up no flush and no close.
            counting.close()
            raise

    @contextlib.contextmanager
    def _counted(self) -> Generator[None]:
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()


class Course(Generic[T]):
    """Steps on their way, driven by one thread at a time."""

    def __init__(self, steps: Steps[T], crew: Crew) -> None:
        self.result: Future[T] = Future()
        #: Set when these steps are no longer needed. Their driver leaves at the next pause.
        self.stop = threading.Event()
        #: Its first request has been sent, or it has joined a rebuild. Later callers come after that.
        self.under_way = False
        #: The lease is void while the driver is still in the rebuild.
        self.void = False
        #: When its rebuild began, a time of `time.monotonic()`; None before that.
        self.rebuilds_since: float | None = None
        #: Called when one of the two changes.
        self.on_change: Callable[[], None] = lambda: None
        self._crew = crew
        self._steps = steps
        self._act: Act | None = None
        self._sent: Future[Any] | None = None
        self._abandoned = False
        #: The rebuild's error.
        self._failed: Exception | None = None

    def drive(self, until: float = math.inf) -> None:
        """Continues until `result` is there. Raises LeftError at `until`, a time of `time.monotonic()`."""
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
            # A StopIteration of the rebuild: Python does not let one out of a generator, and the steps are one.
            failed = self._failed
            self.result.set_exception(
                failed if isinstance(failed, StopIteration) and error.__cause__ is failed else error
            )
        except BaseException as interrupt:
            # Between two acts the steps are alive. Within one, as when a hook is interrupted, they have ended with it.
            if inspect.getgeneratorstate(self._steps) == inspect.GEN_CLOSED:
                self.result.set_exception(interrupt)
            raise

    def abandon(self) -> None:
        """All callers have left: drives on until everything is in order."""
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
        """An answer that has just come may be a lease, which must be given back."""
        if self._sent is not None and self._sent.cancel():
            self._sent = None
        return self._sent is not None

    def _perform(self, act: Act, until: float) -> Any:
        self.under_way = True
        if isinstance(act, Call):
            return self._call(act, until)
        if isinstance(act, Sleep):
            return self._sleep(act.until, until)
        if isinstance(act, Run):
            return self._run(act)
        if isinstance(act, Join):
            return self._join(act, until)
        return self._crew.behind(Course(act.steps, self._crew).drive)

    def _join(self, join: Join, until: float) -> Ended | None:
        join.running.join()
        try:
            return join.running.ended.result(left_until(min(join.until, until)))
        except FutureTimeoutError:
            if monotonic() >= until:
                raise LeftError from None
            return None
        finally:
            join.running.leave()

    def _call(self, call: Call, until: float) -> Any:
        if self._sent is None:
            self._sent = self._crew.link.call(call) if call.answer is None else call.answer
        sent = self._sent
        try:
            result = sent.result(left_until(until))
        except FutureTimeoutError:
            raise LeftError from None
        except Exception:
            self._sent = None
            raise
        self._sent = None
        return result

    def _sleep(self, at: float, until: float) -> None:
        if self.stop.wait(left_until(min(at, until))) or until < at:
            raise LeftError

    def _run(self, run: Run) -> Ran:
        """In the driving thread, which cannot leave in the meantime, because connections often belong to a thread."""
        lost = threading.Event()
        loss = Loss(run, lost.set)

        def void() -> None:
            loss.voided()
            self.void = True
            self.on_change()

        self.void = False
        run.running.void = void
        if loss.came_with_its_lease():
            return Ran(None, None, lost=True, void=True)
        self.rebuilds_since = monotonic()
        self.on_change()
        keeper = None if run.keep is None else Course(run.keep(loss.over), self._crew)
        result, failed = None, None
        try:
            if keeper is not None:
                self._crew.start(functools.partial(_keep, keeper, void))
            with run.around():
                result = run.rebuild(run.grant, lost)
        except Exception as error:
            failed = self._failed = error
        finally:
            run.running.void = lambda: None
            if keeper is not None:
                keeper.stop.set()
        return Ran(result, failed, loss.lost, loss.void)


def _keep(keeper: Course[None], void: Callable[[], None]) -> None:
    with contextlib.suppress(LeftError):
        keeper.drive()
        if not keeper.stop.is_set():
            void()


class _Flight:
    """One call that several callers share. Written under the lock of its Flights."""

    def __init__(self, course: Course[Answer], lock: threading.Lock) -> None:
        self.course = course
        self.callers = 0
        self._turn = threading.Condition(lock)
        self._driven = False
        course.on_change = self._wake

    def fly(self, until: float, wait_until: float) -> Answer:
        """Drives it, or waits until the result is there or the driver has left. Raises LeftError and VoidError.

        A caller that waits while another one drives the rebuild gets a BusyError at `wait_until`. Before the rebuild,
        the steps themselves end the wait.
        """
        course, result = self.course, self.course.result

        def over() -> bool:
            return not self._driven or result.done() or course.void

        with self._turn:
            self._turn.wait_for(lambda: over() or course.rebuilds_since is not None, left_until(until))
            since = course.rebuilds_since
            if since is not None and not self._turn.wait_for(over, left_until(min(until, wait_until))):
                raise LeftError if until < wait_until else wait_ended(since)
            if result.done():
                return result.result()
            if self._driven:
                raise VoidError if course.void else LeftError
            self._driven = True
        try:
            course.drive(until)
        finally:
            with self._turn:
                self._driven = False
                self._turn.notify_all()
        return result.result()

    def _wake(self) -> None:
        with self._turn:
            self._turn.notify_all()


class Flights:
    """Joins equal calls of one process that come before their request is sent, so they share its result.

    Each caller can leave at its own time. Another one then drives on, and the call is abandoned when all have left.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight] = {}

    def join(self, id: Hashable, start: Callable[[], Steps[Answer]], until: float, wait_until: float) -> Answer:  # noqa: A002
        """Raises the error of the steps, LeftError at `until`, and BusyError at `wait_until` during another's rebuild.

        Both are times of `time.monotonic()`.
        """
        while True:
            flight = self._board(id, start)
            try:
                return flight.fly(until, wait_until)
            except VoidError:
                # Asks again, within its own wait, which the steps know.
                continue
            finally:
                self._leave(id, flight)

    def _board(self, id: Hashable, start: Callable[[], Steps[Answer]]) -> _Flight:  # noqa: A002
        with self._lock:
            flight = self._flights.get(id)
            # The request of a flight under way is older than this caller. An invalidation may have come in between.
            if flight is None or flight.course.under_way:
                flight = self._flights[id] = _Flight(Course(start(), self._crew), self._lock)
            flight.callers += 1
            return flight

    def _leave(self, id: Hashable, flight: _Flight) -> None:  # noqa: A002
        with self._lock:
            flight.callers -= 1
            over = flight.course.result.done()
            abandoned = flight.callers == 0 and not over
            # Only the flight that is still its own. Another may have begun since this one was over.
            if (over or abandoned) and self._flights.get(id) is flight:
                del self._flights[id]
        if abandoned:
            self._crew.behind(flight.course.abandon)
