"""Steps driven by an event loop: each call that is under way is a task, shared by those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Hashable
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from dibs.errors import ServiceError
from dibs.steps import Abandoned, Act, Call, Ran, Run, Sleep, Steps, Together

T = TypeVar("T")

#: What a call that was cancelled may take to put everything in order.
_ORDER_S = 5.0


class Link(Protocol):
    """How calls travel."""

    @property
    def stub(self) -> Any: ...
    async def call(self, call: Call) -> Any: ...
    async def close(self) -> None: ...


class Crew:
    """What the steps of one client share."""

    def __init__(self, open_link: Callable[[], Link]) -> None:
        self.flights: Flights[bytes | None] = Flights(self)
        #: Rebuilds of this process that go without the service: one at a time for each key.
        self.local: Flights[bytes | None] = Flights(self)
        self._open_link = open_link
        self._link: Link | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def link(self) -> Link:
        """Opened by the first call, for gRPC binds a channel to the loop that runs."""
        if self._link is None:
            self._link = self._open_link()
        return self._link

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Around every call of a user's. Raises ServiceError when the client is closed."""
        if self._closed:
            raise ServiceError("CANCELLED", "this client is closed")
        yield

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Does it in a task of its own, that `close` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, grace: float) -> None:
        self._closed = True
        await self._ends(grace)
        for task in self._tasks:
            task.cancel()
        # They give their leases back.
        await self._ends(_ORDER_S)
        if self._link is not None:
            await self._link.close()

    async def _ends(self, within: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # Where all callers have left, nobody else looks at how it ended.
        if not task.cancelled():
            task.exception()


class Course(Generic[T]):
    """Steps on their way, driven by one task."""

    def __init__(self, steps: Steps[T], crew: Crew) -> None:
        self._steps = steps
        self._crew = crew
        self._abandoned = False
        self._leavable = True

    async def drive(self) -> T:
        """Raises what the steps raise; CancelledError when they were abandoned or the task was cancelled."""
        resume: Callable[[], Act] = partial(next, self._steps)
        while True:
            try:
                act = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            except Abandoned:
                raise asyncio.CancelledError from None
            try:
                resume = partial(self._steps.send, await self._perform(act))
            except (asyncio.CancelledError, Abandoned):
                resume = partial(self._steps.throw, Abandoned())
            except Exception as error:
                resume = partial(self._steps.throw, error)

    def abandon(self, task: asyncio.Task[T]) -> None:
        """Nobody waits any more: `task`, which drives, goes on to where everything is in order."""
        self._abandoned = True
        if self._leavable:
            task.cancel()

    async def _perform(self, act: Act) -> Any:
        self._leavable = act.leavable
        if self._abandoned and act.leavable:
            raise Abandoned
        if isinstance(act, Call):
            return await self._crew.link.call(act)
        if isinstance(act, Sleep):
            return await asyncio.sleep(max(0.0, act.until - monotonic()))
        if isinstance(act, Run):
            return await self._run(act)
        if isinstance(act, Together):
            return await self._crew.local.join(act.id, act.start)
        return self._crew.start(Course(act.steps, self._crew).drive())

    async def _run(self, run: Run) -> Ran:
        lost = asyncio.Event()
        value, failed = None, None
        keeper = asyncio.create_task(self._keep(run, lost))
        try:
            with run.around():
                value = await run.rebuild(run.grant, lost)
        except Exception as error:
            failed = error
        finally:
            keeper.cancel()
        return Ran(value, failed, lost.is_set())

    async def _keep(self, run: Run, lost: asyncio.Event) -> None:
        if run.keep is not None:
            await Course(run.keep(), self._crew).drive()
            lost.set()
            run.on_lost()


class _Flight(Generic[T]):
    """One call that several callers share."""

    def __init__(self, course: Course[T], task: asyncio.Task[T]) -> None:
        self.course = course
        self.task = task
        self.callers = 0


class Flights(Generic[T]):
    """Joins equal calls inside one process: those who come while one is under way share its result.

    Each caller leaves when its own task is cancelled; the call is abandoned when all have left.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(self, id: Hashable, start: Callable[[], Steps[T]]) -> T:  # noqa: A002
        """Raises what the steps raise."""
        flight = self._flights.get(id)
        if flight is None or flight.task.done():
            course = Course(start(), self._crew)
            flight = self._flights[id] = _Flight(course, self._crew.start(course.drive()))
        flight.callers += 1
        try:
            await asyncio.wait((flight.task,))
            if flight.task.cancelled():
                # Not by this caller, who must not look as if it had been.
                raise ServiceError("CANCELLED", "the client was closed, or the rebuild was cancelled by itself")
            return flight.task.result()
        finally:
            self._leave(id, flight)

    def _leave(self, id: Hashable, flight: _Flight[T]) -> None:  # noqa: A002
        flight.callers -= 1
        over = flight.task.done()
        # Only the flight that is still its own: another may have begun since this one was over.
        if (over or flight.callers == 0) and self._flights.get(id) is flight:
            del self._flights[id]
        if flight.callers == 0 and not over:
            flight.course.abandon(flight.task)
