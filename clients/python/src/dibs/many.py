"""One `get_or_rebuild_many`, driven by an event loop. Each key behaves as in its own `get_or_rebuild`.

Keys share only the first request and the rebuild.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dibs.codec import Codec
from dibs.errors import ManyError, ServiceError
from dibs.fetch_loop import First, fetch_loop, hit_at_once
from dibs.loop import Course, Crew
from dibs.many_answers import ManyAnswers
from dibs.many_rebuilds import ManyRebuilds, RebuildMany
from dibs.options import Terms
from dibs.rebuild import Task
from dibs.rebuilding import Answer


@dataclass(frozen=True)
class ManyTask:
    """The request, and how it is made."""

    #: The options of each key, in the order of the result.
    terms: dict[str, Terms]
    rebuild: RebuildMany
    codec: Codec[Any]
    #: The call of a key, with this rebuild.
    task_of: Callable[[Terms, Any], Task]
    #: The fresh value in this process, for a caller that accepts one.
    near: Callable[[str], Answer | None]
    #: The next request if the codec could not read the value with this fence. Raises UndecodableError.
    unreadable: Callable[[Terms, int, Exception], Terms]


async def fetch_many(many: ManyTask, crew: Crew) -> dict[str, Any]:
    """The value of each key. Raises ManyError if some keys failed."""
    if not many.terms:
        return {}
    return await _Fetch(many, crew).all()


class _Fetch:
    def __init__(self, many: ManyTask, crew: Crew) -> None:
        self._many = many
        self._crew = crew
        self._rebuilds = ManyRebuilds(crew, many.rebuild, many.codec)
        self._courses: list[Course[Answer]] = []
        self._has_left = False
        self._values: dict[str, Any] = {}
        self._errors: dict[str, Exception] = {}
        self._all_came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def all(self) -> dict[str, Any]:
        missing = [key for key in self._many.terms if not self._is_near(key)]
        asking, answers = None, None
        if missing:
            task = self._task(self._many.terms[missing[0]])
            answers = ManyAnswers(self._crew, task.terms, task.until, task.trace.traceparent)
            firsts = Arrivals(self._first_came)
            for key in missing:
                firsts.await_one(key, answers.of(key))
            asking = self._crew.start(answers.ask(functools.partial(self._answered, answers)))
        try:
            if not self._has_all():
                await self._all_came
        except asyncio.CancelledError:
            self._has_left = True
            if asking is not None and answers is not None:
                answers.leave()
                asking.cancel()
            for course in self._courses:
                course.abandon()
            raise
        values = {key: self._values[key] for key in self._many.terms if key in self._values}
        if self._errors:
            errors = {key: self._errors[key] for key in self._many.terms if key in self._errors}
            raise ManyError(errors, values) from next(iter(errors.values()))
        return values

    def _is_near(self, key: str) -> bool:
        answer = self._many.near(key)
        if answer is not None:
            self._take(key, answer)
        return answer is not None

    def _answered(self, answers: ManyAnswers) -> None:
        self._rebuilds.answered(set(answers.granted), set(answers.unanswered))

    def _first_came(self, key: str, first: First) -> None:
        """A hit takes less time than a separate path would."""
        answer = first.answer
        if answer.cancelled():
            return
        terms = self._many.terms[key]
        if self._has_left:
            if answer.exception() is None and answer.result().HasField("lease"):
                self._crew.link.give_back(terms.namespace, key, answer.result().lease.token)
        elif answer.exception() is None and answer.result().HasField("hit"):
            self._take(key, hit_at_once(self._task(terms), answer.result().hit, first))
        else:
            self._crew.start(self._value(terms, first))

    def _take(self, key: str, answer: Answer) -> None:
        try:
            self._values[key] = None if answer.data is None else self._many.codec.decode(answer.data)
        except Exception as error:
            terms = self._many.terms[key]
            self._crew.start(self._value(self._many.unreadable(terms, answer.fence, error), None))
        else:
            self._came(key)

    async def _value(self, terms: Terms, first: First | None) -> None:
        try:
            while True:
                answer = await self._fly(terms, first)
                try:
                    data = answer.data
                    self._values[terms.key] = None if data is None else self._many.codec.decode(data)
                    return
                except Exception as error:
                    terms, first = self._many.unreadable(terms, answer.fence, error), None
        except Exception as error:
            self._errors[terms.key] = error
        except asyncio.CancelledError:
            self._errors[terms.key] = ServiceError("CANCELLED", "the client was closed")
            raise
        finally:
            self._came(terms.key)

    def _came(self, key: str) -> None:
        self._rebuilds.over(key)
        if self._has_all() and not self._all_came.done():
            self._all_came.set_result(None)

    def _has_all(self) -> bool:
        return len(self._values) + len(self._errors) == len(self._many.terms)

    async def _fly(self, terms: Terms, first: First | None) -> Answer:
        """Raises the error of the steps. Never cancelled: a caller that leaves does not end it for others."""
        course = Course(fetch_loop(self._task(terms), first), self._crew)
        course.callers_gone = lambda: self._has_left
        self._courses.append(course)
        if self._has_left:
            # Since this task was started.
            course.abandon()
        flying = self._crew.start(course.drive())
        await asyncio.wait((flying,))
        if flying.cancelled():
            raise ServiceError("CANCELLED", "the client was closed, or the rebuild was cancelled by itself")
        return flying.result()

    def _task(self, terms: Terms) -> Task:
        return self._many.task_of(terms, functools.partial(self._rebuilds.made, terms.key))


class Arrivals:
    """Passes on answers from a thread of the link to the loop, all that have come at once."""

    def __init__(self, came: Callable[[str, First], None]) -> None:
        self._came = came
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._here: list[tuple[str, First]] = []

    def await_one(self, key: str, first: First) -> None:
        first.answer.add_done_callback(lambda _: self._arrived(key, first))

    def _arrived(self, key: str, first: First) -> None:
        with self._lock:
            self._here.append((key, first))
            if len(self._here) > 1:
                return
        # A loop that has been closed in the meantime waits for nothing.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        with self._lock:
            here, self._here = self._here, []
        for key, first in here:
            self._came(key, first)
