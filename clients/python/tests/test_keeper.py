"""When a lease is extended and when it is over, by a clock that the test moves: steps need no time of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from dibs.errors import ServiceError
from dibs.keeper import keep_lease
from dibs.steps import Call, Sleep
from dibs.v1 import coordinator_pb2 as pb

LEASE_S = 9.0
EXTENDED = pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_EXTENDED, expires_in_ms=9_000)
LOST = pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_LOST)
DOWN = ServiceError("UNAVAILABLE", "gone")


class Clock:
    """Keeps a lease until `time`, and notes when it was extended, how long that might take, and when it was over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self.timeouts: list[float] = []
        #: When the lease was void.
        self.over: float | None = None
        #: When the lease's time was over, without a word from the service.
        self.ran_out: list[float] = []
        monkeypatch.setattr("dibs.keeper.monotonic", lambda: self.now)

    def keep(self, extend: Callable[[int], Any], time: float, hold_until: float = math.inf) -> None:
        """Its request was sent at 0."""
        on_over = lambda: self.ran_out.append(self.now)
        steps = keep_lease(pb.ExtendRequest(), 0.0, LEASE_S, hold_until, "", on_over)
        answer: Any = None
        try:
            while True:
                act = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
                answer = None
                if isinstance(act, Sleep):
                    if act.until > time:
                        return
                    self.now = act.until
                elif isinstance(act, Call):
                    self.asked.append(round(self.now, 3))
                    self.timeouts.append(act.timeout)
                    answer = extend(len(self.asked))
        except StopIteration:
            self.over = round(self.now, 3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_extends_every_third_of_the_lease(clock: Clock) -> None:
    clock.keep(lambda _: EXTENDED, 15.0)
    assert clock.asked == [3, 6, 9, 12, 15]
    assert clock.over is None


def test_tries_ever_sooner_while_extensions_fail_and_tells_the_end_of_the_lease(clock: Clock) -> None:
    clock.keep(lambda _: DOWN, 60.0)
    assert clock.asked[:3] == [3, 5, 6.333]
    assert clock.ran_out[0] == LEASE_S


def test_goes_on_asking_after_the_end_until_it_knows_that_the_lease_is_void(clock: Clock) -> None:
    clock.keep(lambda _: DOWN if clock.now < 20 else LOST, 60.0)
    assert clock.ran_out[0] == LEASE_S
    assert clock.over == 20
    # One try a second, for the service is away.
    assert len([asked for asked in clock.asked if asked >= LEASE_S]) == 12


def test_asks_again_at_once_where_the_service_s_end_is_a_moment_after_ours(clock: Clock) -> None:
    nothing_left = pb.ExtendResponse(outcome=pb.EXTEND_OUTCOME_EXTENDED, expires_in_ms=0)
    clock.keep(lambda time: LOST if time > 3 else nothing_left, 60.0)
    assert clock.ran_out[0] == pytest.approx(3.005)
    assert clock.over == pytest.approx(3.015)


def test_tells_the_end_when_it_comes_while_a_try_hangs(clock: Clock) -> None:
    def hangs(time: int) -> Any:
        clock.now += clock.timeouts[-1]
        return DOWN

    clock.keep(hangs, 60.0)
    assert clock.ran_out[0] == pytest.approx(LEASE_S, abs=0.1)


def test_extends_no_lease_beyond_the_bound(clock: Clock) -> None:
    clock.keep(lambda _: EXTENDED, 60.0, hold_until=20.0)
    assert clock.asked == [3, 6, 9, 12, 15, 18]
    assert clock.over == 20


def test_goes_on_from_the_new_end_after_one_came_through(clock: Clock) -> None:
    clock.keep(lambda time: DOWN if time <= 2 else EXTENDED, 10.0)
    assert clock.asked == [3, 5, 6.333, 9.333]
    assert clock.over is None


def test_counts_the_lease_from_when_the_extension_was_asked_for(clock: Clock) -> None:
    def slow(time: int) -> Any:
        if time > 1:
            return DOWN
        clock.now += 1.5
        return EXTENDED

    clock.keep(slow, 60.0)
    assert clock.ran_out[0] == 3 + LEASE_S


def test_counts_the_lease_from_when_it_was_asked_for(clock: Clock) -> None:
    clock.now = 5.0
    clock.keep(lambda _: DOWN, 60.0)
    assert clock.asked[0] == 6.333
    assert clock.ran_out[0] == LEASE_S


@pytest.mark.parametrize("waited", [6.1, 8.999, 9.0, 30.0])
def test_extends_at_once_where_less_than_a_third_seems_left(clock: Clock, waited: float) -> None:
    clock.now = waited
    clock.keep(lambda _: EXTENDED, waited + 4)
    assert clock.asked == [waited, waited + 3]
    assert (clock.ran_out, clock.over) == ([], None)


@pytest.mark.parametrize("waited", [9.0, 30.0])
def test_has_an_extension_s_time_to_learn_whether_it_is_over(clock: Clock, waited: float) -> None:
    clock.now = waited
    clock.keep(lambda _: DOWN, 60.0)
    assert clock.asked[0] == waited
    assert clock.ran_out[0] == waited + 2


def test_gives_no_extension_more_time_than_the_lease_has(clock: Clock) -> None:
    clock.keep(lambda _: DOWN, 60.0)
    assert clock.timeouts[0] == 2.0
    within = [(LEASE_S - asked, timeout) for asked, timeout in zip(clock.asked, clock.timeouts, strict=True)]
    assert all(timeout <= max(0.002, left + 0.001) for left, timeout in within if left > 0)


@pytest.mark.parametrize("answer", [LOST, ServiceError("INVALID_ARGUMENT", "lease_ms: no")])
def test_ends_when_the_service_says_so(clock: Clock, answer: Any) -> None:
    clock.keep(lambda _: answer, 60.0)
    assert clock.over == 3.0


def test_an_outcome_that_is_not_known_is_no_answer(clock: Clock) -> None:
    clock.keep(lambda _: pb.ExtendResponse(outcome=99), 60.0)  # type: ignore[arg-type]
    assert clock.ran_out[0] == LEASE_S
