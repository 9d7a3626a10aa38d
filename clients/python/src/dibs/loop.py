"""Steps driven by an event loop. Each call under way is a task, shared by the callers that wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Hashable
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

from dibs.carrier import Carrier
from dibs.errors import ServiceError
from dibs.loop_waits import Lost, joined, settled
from dibs.rebuilding import Answer, wait_ended
from dibs.reentry import outside
from dibs.steps import Abandoned, Act, Call, Join, Loss, Ran, Run, Sleep, Steps

T = TypeVar("T")
#: The time for an answer that is about to take its place.
_AT_ONCE_S = 1.0
#: What a cancelled call may take to put everything in order.
_ORDER_S = 5.0
#: Whether the running code continues without a caller.
IS_BEHIND: ContextVar[bool] = ContextVar("dibs_behind", default=False)


class Crew:
    """What the steps of one client share in one loop."""

    def __init__(self, link: Carrier) -> None:
        self.flights = Flights(self)
        self.link = link
        self._arrivals: list[asyncio.Future[None]] = []
        self._arriving = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Of these, the steps that continue without a caller.
        self._behind: set[asyncio.Task[Any]] = set()
        #: Calls of users. Some run in the user's own task.
        self._open = 0
        #: Those that wait for any of these to end.
        self._waiting: list[asyncio.Future[None]] = []

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Around every call of a user. Raises ServiceError if the client is closed."""
        if self.link.closed:
            raise ServiceError("CANCELLED", "this client is closed")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._one_ended()

    def arrival(self, sent: Future[Any]) -> asyncio.Future[None]:
        """Done when the answer of a call has come, which happens in a thread of the link."""
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda _: self._arrived(arrival))
        return arrival

    def _arrived(self, arrival: asyncio.Future[None]) -> None:
        """Many answers come in one message, so the loop is woken once for all of them."""
        with self._arriving:
            self._arrivals.append(arrival)
            if len(self._arrivals) > 1:
                return
        # A loop that has been closed in the meantime waits for nothing.
        with suppress(RuntimeError):
            arrival.get_loop().call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        with self._arriving:
            arrivals, self._arrivals = self._arrivals, []
        for arrival in arrivals:
            if not arrival.done():
                arrival.set_result(None)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Does it in a separate task, which `close` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def behind(self, steps: Steps[None]) -> None:
        """Steps that continue without a caller. `flush` and `close` wait for them."""
        # No rebuild waits for it, so it is inside none.
        context = outside()
        context.run(IS_BEHIND.set, True)
        self._behind.add(context.run(self.start, Course(steps, self).drive()))

    async def flush(self, within: float) -> bool:
        return await self._until(lambda: not self._behind, within)

    async def close(self, grace: float) -> None:
        self.link.refuse()
        await self._until(lambda: self._open == 0 and not self._tasks, grace)
        for task in self._tasks:
            task.cancel()
        # They give their leases back.
        await self._until(lambda: not self._tasks, _ORDER_S)

    async def all_ended(self) -> None:
        """Waits for everything, including what continues without a caller."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _until(self, true: Callable[[], bool], within: float) -> bool:
        """Waits until it is true, and returns whether it is. What begins in the meantime counts too."""
        until = monotonic() + within
        while not true():
            self._waiting.append(one_ended := asyncio.get_running_loop().create_future())
            await asyncio.wait((one_ended,), timeout=max(0.0, until - monotonic()))
            if monotonic() >= until:
                break
        return true()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._behind.discard(task)
        # If all callers have left, nothing else checks how it ended.
        if not task.cancelled():
            task.exception()
        self._one_ended()

    def _one_ended(self) -> None:
        while self._waiting:
            self._waiting.pop().set_result(None)


class Course(Generic[T]):
    """Steps on their way, driven by one task."""

    def __init__(self, steps: Steps[T], crew: Crew) -> None:
        #: Its first request has been sent, or it has joined a rebuild. Later callers come after that.
        self.under_way = False
        self._steps = steps
        self._crew = crew
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[T] | None = None
        self._act: Act | None = None
        self._abandoned = False
        #: Whether no caller from before the lease is left. Set by the flight.
        self.callers_gone: Callable[[], bool] = lambda: False
        #: Called when a rebuild begins.
        self.rebuilds: Callable[[], None] = lambda: None
        #: What ended the rebuild, if that affects the whole process, such as SystemExit.
        self._interrupt: BaseException | None = None

    async def drive(self) -> T:
        """Raises the error of the steps; CancelledError if they were abandoned or the task was cancelled."""
        self._task = asyncio.current_task()
        resume: Callable[[], Act] = partial(next, self._steps)
        while True:
            try:
                act = resume()
            except StopIteration as end:
                if self._abandoned:
                    raise asyncio.CancelledError from None
                return end.value  # type: ignore[no-any-return]
            except Abandoned:
                if self._interrupt is not None:
                    raise self._interrupt from None
                raise asyncio.CancelledError from None
            try:
                resume = partial(self._steps.send, await self._perform(act))
            except (asyncio.CancelledError, Abandoned):
                resume = partial(self._steps.throw, Abandoned())
            except Exception as error:
                resume = partial(self._steps.throw, error)

    def abandon(self) -> None:
        """All callers have left: continues until everything is in order, unless others have joined the rebuild."""
        if isinstance(self._act, Run) and self._act.running.joined > 0:
            return
        self._abandoned = True
        if self._task is not None and self._act is not None and self._act.leavable:
            self._task.cancel()

    async def _perform(self, act: Act) -> Any:
        self.under_way = True
        self._act = act
        if self._abandoned and act.leavable and not (isinstance(act, Call) and act.has_answer()):
            raise Abandoned
        if isinstance(act, Call):
            return await self._call(act)
        if isinstance(act, Sleep):
            return await asyncio.sleep(max(0.0, act.until - monotonic()))
        if isinstance(act, Run):
            return await self._run(act)
        if isinstance(act, Join):
            return await joined(act)
        return self._crew.behind(act.steps)

    async def _call(self, call: Call) -> Any:
        sent = self._crew.link.call(call) if call.answer is None else call.answer
        try:
            await self._crew.arrival(sent)
        except asyncio.CancelledError:
            # An answer that has just come may be a lease, which must be given back. The cancellation comes after that.
            if not call.ends_lease and not sent.cancel() and sent.exception(_AT_ONCE_S) is None:
                self._abandoned = True
                return sent.result()
            raise
        return sent.result()

    async def _run(self, run: Run) -> Ran:
        """In a separate task, so that callers need not wait for it to stop when its lease is void."""
        lost, void = Lost(), asyncio.Event()
        loss = Loss(run, lost.set)
        # May be called by any thread.
        run.running.void = partial(self._soon, void.set)
        if loss.came_with_its_lease():
            return Ran(None, None, lost=True, void=True)
        self.rebuilds()
        run.running.deserted = partial(self._soon, self._deserted)
        with run.around():
            rebuilding = self._crew.start(self._rebuilt(run, lost))
        keeping = asyncio.ensure_future(self._keep(run, loss, void))
        try:
            await asyncio.wait((rebuilding, keeping), return_when=asyncio.FIRST_COMPLETED)
            if not rebuilding.done():
                loss.voided()
        except asyncio.CancelledError:
            # By the last caller that left, or because the client is closed. The rebuild's result still counts.
            rebuilding.cancel()
            await settled(rebuilding)
        finally:
            run.running.void = lambda: None
            keeping.cancel()
        if loss.void:
            rebuilding.cancel()
            # Callers that joined it ask for themselves.
            self._abandoned |= self.callers_gone()
            return Ran(None, None, lost=True, void=True)
        return self._ran(rebuilding, loss)

    async def _rebuilt(self, run: Run, lost: asyncio.Event) -> tuple[Any, BaseException | None]:
        try:
            return await run.rebuild(run.grant, lost), None
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # SystemExit and the like would end the loop from here, before the lease is given back.
            return None, error

    def _ran(self, rebuilding: asyncio.Task[tuple[Any, BaseException | None]], loss: Loss) -> Ran:
        if rebuilding.cancelled():
            raise Abandoned
        result, error = rebuilding.result()
        if error is not None and not isinstance(error, Exception):
            self._interrupt = error
            raise Abandoned
        return Ran(result, error, loss.lost)

    async def _keep(self, run: Run, loss: Loss, void: asyncio.Event) -> None:
        """Ends when the lease is void."""
        told = asyncio.ensure_future(void.wait())
        steps = [] if run.keep is None else [asyncio.ensure_future(Course(run.keep(loss.over), self._crew).drive())]
        try:
            await asyncio.wait((told, *steps), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in (told, *steps):
                waiting.cancel()

    def _deserted(self) -> None:
        if self.callers_gone():
            self.abandon()

    def _soon(self, do: Callable[[], Any]) -> None:
        # A loop that has been closed in the meantime drives nothing.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(do)


class _Flight:
    """One call that several callers share."""

    def __init__(self, course: Course[Answer], task: asyncio.Task[Answer]) -> None:
        self.course = course
        self.task = task
        self.callers = 0
        course.callers_gone = lambda: self.callers == 0
        #: When its rebuild began, a time of `time.monotonic()`.
        self._rebuilds_since: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        course.rebuilds = self._rebuilds

    async def joined(self, wait_until: float) -> None:
        """For a caller that did not begin it: raises BusyError if the rebuild outlasts the wait.

        Before the rebuild, the steps themselves end the wait.
        """
        since = self._rebuilds_since
        await asyncio.wait((self.task, since), return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            return
        await asyncio.wait((self.task,), timeout=max(0.0, wait_until - monotonic()))
        if not self.task.done():
            raise wait_ended(since.result())

    def _rebuilds(self) -> None:
        if not self._rebuilds_since.done():
            self._rebuilds_since.set_result(monotonic())


class Flights:
    """Joins equal calls of one loop that come before their request is sent, so they share its result.

    Each caller leaves when its own task is cancelled. The call is abandoned when all have left.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._flights: dict[Hashable, _Flight] = {}

    async def join(self, id: Hashable, start: Callable[[], Steps[Answer]], wait_until: float) -> Answer:  # noqa: A002
        """Raises the error of the steps, and BusyError at `wait_until` during the rebuild of another caller.

        That is a time of `time.monotonic()`.
        """
        flight = self._flights.get(id)
        # The request of a flight under way is older than this caller. An invalidation may have come in between.
        is_new = flight is None or flight.course.under_way or flight.task.done()
        if flight is None or is_new:
            course = Course(start(), self._crew)
            flight = self._flights[id] = _Flight(course, self._crew.start(course.drive()))
        flight.callers += 1
        try:
            await (asyncio.wait((flight.task,)) if is_new else flight.joined(wait_until))
            if flight.task.cancelled():
                # Not cancelled by this caller, so it must not look like that.
                raise ServiceError("CANCELLED", "the client was closed, or the rebuild was cancelled by itself")
            return flight.task.result()
        finally:
            self._leave(id, flight)

    def _leave(self, id: Hashable, flight: _Flight) -> None:  # noqa: A002
        flight.callers -= 1
        over = flight.task.done()
        # Only the flight that is still its own. Another may have begun since this one was over.
        if (over or flight.callers == 0) and self._flights.get(id) is flight:
            del self._flights[id]
        if flight.callers == 0 and not over:
            flight.course.abandon()
