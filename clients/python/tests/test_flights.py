"""Who shares a call of this process, and from when on: over real gRPC; both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import grpc
import pytest
from callers import Caller, Context, Fn, MakeCaller, Recorder, fails, gives, joined, never_called, until, until_lost
from fake_service import LOST, RELEASED, STORED, FakeService, Refusal, hit, lease, published

from dibs import BusyError, Client, ServiceError, Value
from dibs.v1 import coordinator_pb2 as pb

NOT_HELD = pb.ReleaseResponse(outcome=pb.RELEASE_OUTCOME_NOT_HELD)


def start(calling: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(calling)


class Gated:
    """A rebuild that goes on when the test says so."""

    def __init__(self, then: Fn) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.calls = 0
        self._then = then

    async def __call__(self, context: Context) -> Any:
        self.calls += 1
        self.begun.set()
        await self.gate.wait()
        return await self._then(context)


async def held(caller: Caller, fake: FakeService, then: Fn, **options: Any) -> tuple[Gated, asyncio.Task[Any]]:
    """A rebuild that runs under a lease, and the call that it is for."""
    rebuild = Gated(then)
    call = start(caller.get("k", rebuild, **options))
    await rebuild.begun.wait()
    return rebuild, call


def asked(fake: FakeService) -> int:
    return len(fake.requests("GetOrLock"))


class TestARequestThatIsUnderWay:
    async def test_takes_no_newcomers(self, fake: FakeService, caller: Caller) -> None:
        """An invalidation elsewhere may lie between the request and the newcomer."""
        fake.will("GetOrLock", fake.held(hit(b"old")), hit(b"new"))
        first = start(caller.get("k", never_called))
        await until(lambda: asked(fake) == 1)
        assert await caller.get("k", never_called) == b"new"
        fake.gate.set()
        assert await first == b"old"

    async def test_is_left_by_each_caller_alone(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", fake.held(hit(b"theirs")))
        leaving, staying = start(caller.get("k", never_called, leave_after=0.3)), start(caller.get("k", never_called))
        with pytest.raises(TimeoutError):
            await leaving
        fake.gate.set()
        assert await staying == b"theirs"


class TestARebuildThatRunsHere:
    async def test_serves_callers_that_come_late(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        rebuild, call = await held(caller, fake, gives(b"v"))
        # With any options: the service would let them wait for the same rebuild.
        late = [start(caller.get("k", never_called, wait=wait, stale="forbid")) for wait in (5, 7, 60)]
        await joined(caller, 3)
        rebuild.gate.set()
        assert await asyncio.gather(call, *late) == [b"v"] * 4
        assert (asked(fake), rebuild.calls) == (1, 1)

    @pytest.mark.parametrize(
        "answer",
        [
            published(pb.PUBLISH_OUTCOME_STORED),
            published(pb.PUBLISH_OUTCOME_STORED, counts=False),
            published(pb.PUBLISH_OUTCOME_INVALIDATED, counts=True),
            published(pb.PUBLISH_OUTCOME_NOT_STORED),
            Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "value: too large"),
            Refusal(grpc.StatusCode.UNAVAILABLE, "gone"),
        ],
    )
    async def test_serves_them_only_what_is_stored_and_counts(
        self, fake: FakeService, caller: Caller, answer: Any
    ) -> None:
        fake.will("GetOrLock", lease(), hit(b"newer"))
        fake.will("Publish", answer)
        rebuild, call = await held(caller, fake, gives(b"v"))
        late = start(caller.get("k", never_called))
        await joined(caller, 1)
        rebuild.gate.set()
        assert await call == b"v"
        assert await late == b"newer"

    @pytest.mark.parametrize("outcome", [pb.PUBLISH_OUTCOME_STORED_LATE, pb.PUBLISH_OUTCOME_DUPLICATE])
    async def test_counts_as_stored_also_late_or_a_second_time(
        self, fake: FakeService, caller: Caller, outcome: int
    ) -> None:
        fake.will("GetOrLock", lease())
        fake.will("Publish", published(outcome, counts=True))
        rebuild, call = await held(caller, fake, gives(b"v"))
        late = start(caller.get("k", never_called))
        await joined(caller, 1)
        rebuild.gate.set()
        assert [*await asyncio.gather(call, late)] == [b"v", b"v"]
        assert asked(fake) == 1

    async def test_keeps_no_caller_beyond_its_own_wait(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        rebuild, call = await held(caller, fake, gives(b"v"))
        for wait in (0, 0.05):
            asked_at = monotonic()
            with pytest.raises(BusyError) as raised:
                await caller.get("k", never_called, wait=wait)
            assert raised.value.reason == "wait_ended"
            # Far more than it takes, far less than a call waits that says nothing.
            assert monotonic() - asked_at < 20
        with pytest.raises(TimeoutError):
            await caller.get("k", never_called, leave_after=0.05)
        rebuild.gate.set()
        assert await call == b"v"
        assert asked(fake) == 1

    async def test_waits_within_what_is_left_of_the_wait(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(), hit(b"newer"))
        fake.will("Publish", published(pb.PUBLISH_OUTCOME_STORED, counts=False))
        rebuild, call = await held(caller, fake, gives(b"v"))
        late = start(caller.get("k", never_called, wait=20))
        await joined(caller, 1)
        await asyncio.sleep(0.05)
        rebuild.gate.set()
        assert [*await asyncio.gather(call, late)] == [b"v", b"newer"]
        assert fake.requests("GetOrLock")[1].wait_ms < 20_000

    @pytest.mark.parametrize("options", [{"read": "store"}, {"refresh": True}])
    async def test_is_not_joined_by_callers_that_want_what_is_newer(
        self, fake: FakeService, caller: Caller, options: dict[str, Any]
    ) -> None:
        fake.will("GetOrLock", lease(), hit(b"newer"))
        rebuild, call = await held(caller, fake, gives(b"v"))
        assert await caller.get("k", never_called, **options) == b"newer"
        rebuild.gate.set()
        assert await call == b"v"

    async def test_is_not_joined_where_a_stale_value_is_served_at_once(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(previous=b"old"), hit(b"old"))
        rebuild, call = await held(caller, fake, gives(b"v"), revalidate="await")
        assert await caller.get("k", never_called) == b"old"
        forbids = start(caller.get("k", never_called, stale="forbid"))
        await joined(caller, 1)
        rebuild.gate.set()
        assert [*await asyncio.gather(call, forbids)] == [b"v", b"v"]
        assert asked(fake) == 2

    async def test_is_not_joined_where_the_holder_alone_wants_no_stale_value(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLock", lease(), hit(b"old"))
        rebuild, call = await held(caller, fake, gives(b"v"), stale="forbid")
        assert await caller.get("k", never_called) == b"old"
        rebuild.gate.set()
        await call

    async def test_is_not_joined_beside_a_fresh_value(self, fake: FakeService, caller: Caller) -> None:
        refresh = lease()
        refresh.lease.reason = pb.LEASE_REASON_REFRESH
        fake.will("GetOrLock", refresh, hit(b"fresh"))
        rebuild, call = await held(caller, fake, gives(b"v"), refresh=True)
        assert await caller.get("k", never_called, stale="forbid") == b"fresh"
        rebuild.gate.set()
        await call

    @pytest.mark.parametrize(("outcome", "shared"), [(RELEASED, True), (NOT_HELD, False)])
    async def test_shares_its_failure_where_the_fleet_has_it_too(
        self, fake: FakeService, caller: Caller, outcome: Any, shared: bool
    ) -> None:
        fake.will("GetOrLock", lease(), hit(b"theirs"))
        fake.will("Release", outcome)
        rebuild, call = await held(caller, fake, fails(KeyError("row")))
        late = start(caller.get("k", never_called))
        await joined(caller, 1)
        rebuild.gate.set()
        with pytest.raises(KeyError):
            await call
        if shared:
            with pytest.raises(KeyError):
                await late
        else:
            assert await late == b"theirs"

    async def test_goes_on_for_callers_that_came_late(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease())
        rebuild, call = await held(caller, fake, gives(b"v"))
        late = start(caller.get("k", never_called))
        await joined(caller, 1)
        call.cancel()
        await asyncio.wait([call])
        # What the leaving would stop has stopped by now.
        await asyncio.sleep(0.1)
        rebuild.gate.set()
        assert await late == b"v"
        assert rebuild.calls == 1

    async def test_keeps_a_value_that_is_not_to_be_stored_from_callers_that_came_late(
        self, fake: FakeService, caller: Caller
    ) -> None:
        fake.will("GetOrLock", lease(), hit(b"theirs"))
        rebuild, call = await held(caller, fake, gives(Value(b"only mine", store=False)))
        late = start(caller.get("k", never_called))
        await joined(caller, 1)
        rebuild.gate.set()
        assert [*await asyncio.gather(call, late)] == [b"only mine", b"theirs"]
        (release,) = fake.requests("Release")
        assert not release.HasField("failure")
        assert fake.requests("Publish") == []


class TestWhatClosesARebuildToNewcomers:
    @pytest.mark.parametrize(
        ("invalidation", "closes"),
        [
            ({"keys": ["k"]}, True),
            ({"tags": ["any"]}, True),
            ({"all": True}, True),
            ({"keys": ["another"]}, False),
            ({"keys": ["k"], "namespace": "another"}, False),
            ({"keys": ["k"], "namespace": "default"}, True),
        ],
    )
    async def test_the_clients_own_invalidation(
        self, fake: FakeService, caller: Caller, invalidation: dict[str, Any], closes: bool
    ) -> None:
        fake.will("GetOrLock", lease(), hit(b"newer"))
        fake.will("Invalidate", pb.InvalidateResponse())
        rebuild, call = await held(caller, fake, gives(b"v"))
        before = start(caller.get("k", never_called))
        await joined(caller, 1)
        await caller.invalidate(**invalidation)
        after = start(caller.get("k", never_called))
        if closes:
            assert await after == b"newer"
        else:
            await joined(caller, 2)
        rebuild.gate.set()
        assert await call == b"v"
        assert await before == b"v"
        assert asked(fake) == 1 + closes

    async def test_an_invalidation_that_fails_too(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(), hit(b"newer"))
        fake.will("Invalidate", Refusal(grpc.StatusCode.UNAVAILABLE))
        rebuild, call = await held(caller, fake, gives(b"v"))
        with pytest.raises(ServiceError):
            await caller.invalidate(["k"])
        assert await caller.get("k", never_called) == b"newer"
        rebuild.gate.set()
        await call

    @pytest.mark.parametrize(("method", "then"), [("Publish", gives(b"v")), ("Release", fails(KeyError("row")))])
    async def test_the_publish_or_release_from_when_it_is_sent(
        self, fake: FakeService, caller: Caller, method: str, then: Fn
    ) -> None:
        """Stored, then invalidated elsewhere, then answered: a newcomer in between must not have the old value."""
        fake.will("GetOrLock", lease(), hit(b"newer"))
        fake.will(method, fake.held(STORED if method == "Publish" else RELEASED))
        rebuild, call = await held(caller, fake, then)
        rebuild.gate.set()
        await until(lambda: fake.requests(method))
        assert await caller.get("k", never_called) == b"newer"
        # It was not the answer that freed the newcomer.
        assert not call.done()
        fake.gate.set()
        await asyncio.wait([call])


class TestALeaseThatIsVoid:
    async def test_ends_the_wait_of_callers_that_came_late_at_once(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=300), hit(b"theirs"))
        hooks = Recorder()
        caller = make(hooks=hooks)
        rebuild, call = await held(caller, fake, gives(b"v"))
        late = start(caller.get("k", never_called))
        await joined(caller, 1)
        fake.will("Extend", LOST)
        assert await late == b"theirs"
        assert hooks.of("lease_lost") == ["k"]
        # In a loop the rebuild is cancelled; a thread goes on when its own code returns.
        rebuild.gate.set()
        assert await call == b"theirs"
        assert fake.requests("Publish") == []
        assert fake.requests("Release") == []

    async def test_is_taken_for_void_when_it_was_held_for_too_long(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=300), hit(b"theirs"))
        assert await make(lease_hold_max=0.2).get("k", until_lost) == b"theirs"
        first, second = fake.requests("GetOrLock")
        # The lease may still run, and the same call would be given it again.
        assert first.request_id != second.request_id

    async def test_closes_it_to_newcomers(self, fake: FakeService, caller: Caller) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=300), hit(b"theirs"))
        fake.will("Extend", LOST)
        lost = asyncio.Event()

        async def hangs(context: Context) -> Any:
            await until(context.lost.is_set)
            lost.set()
            await until_open.wait()
            return b"old"

        until_open = asyncio.Event()
        call = start(caller.get("k", hangs))
        await until(lambda: asked(fake) == 2 or lost.is_set())
        assert await caller.get("k", never_called) == b"theirs"
        until_open.set()
        assert await call == b"theirs"


def test_threads_that_come_before_the_request_is_sent_share_it(fake: FakeService) -> None:
    with Client(fake.target) as client:
        flights = client._crew.flights
        unsent: Callable[[], Any] = lambda: iter(())
        first, second = flights._board("id", unsent), flights._board("id", unsent)
        assert first is second
        first.course.under_way = True
        assert flights._board("id", unsent) is not first
