"""What only a session can do to a call; both clients."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import grpc
import pytest
from callers import PATIENCE_S, Caller, Context, MakeCaller, Recorder, Source, gives, never_called, until
from fake_service import NEVER, FakeService, Refusal, busy, each, hit, lease, unavailable

from dibs import BYTES, Client, ManyError, ServiceError, fetch_loop, many_answers, session
from dibs.metrics import Metrics
from dibs.v1 import coordinator_pb2 as pb


@pytest.fixture
def make(make_on_session: MakeCaller) -> MakeCaller:
    return make_on_session


async def test_all_calls_travel_on_one(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", lease())
    fake.will("Invalidate", pb.InvalidateResponse())
    caller = make(holder="h")
    await asyncio.gather(*(caller.get(f"{at}", gives(b"v")) for at in range(20)))
    await caller.invalidate(["k"])
    assert [hello.holder for hello in fake.hellos] == ["h"]
    assert len(fake.requests("Publish")) == 20


async def test_a_client_may_do_without(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", hit(b"v"))
    assert await make(session=False).get("k", never_called) == b"v"
    assert fake.hellos == []


async def test_a_value_that_a_session_does_not_take_goes_by_itself(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", lease())
    hooks = Recorder()
    assert len(await make(hooks=hooks).get("k", gives(b"x" * 1_100_000))) == 1_100_000
    assert hooks.of("publish") == ["stored"]


async def test_many_calls_at_once_are_gathered_within_the_contracts_bound(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", lease())
    hooks = Recorder()
    caller = make(hooks=hooks)
    values = await asyncio.gather(*(caller.get(f"{at}", gives(b"x" * 400_000)) for at in range(12)))
    assert [len(value) for value in values] == [400_000] * 12
    assert hooks.of("publish") == ["stored"] * 12


async def test_the_loss_of_a_lease_is_told_at_once(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", lease(expires_in_ms=600_000), hit(b"theirs"))
    hooks, begun = Recorder(), asyncio.Event()

    async def rebuild(context: Context) -> Any:
        begun.set()
        await until(context.lost.is_set)
        return b"old"

    call = asyncio.create_task(make(hooks=hooks).get("k", rebuild))
    await begun.wait()
    for token in ("another", "t"):
        lost = pb.LeaseLost(namespace="default", key="k", token=token, end=pb.LEASE_END_INVALIDATED)
        fake.sessions[0].tell(pb.SessionEvent(lease_lost=lost))
    assert await call == b"theirs"
    assert hooks.of("lease_lost") == ["k"]
    assert fake.requests("Extend") == []
    assert fake.requests("Publish") == []


async def test_one_that_drains_still_answers_and_new_calls_go_elsewhere(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", fake.held(hit(b"first")), hit(b"second"))
    caller = make()
    first = asyncio.create_task(caller.get("k", never_called))
    await until(lambda: fake.heard)
    fake.sessions[0].tell(pb.SessionEvent(draining=pb.Draining(closes_in_ms=1_000)))

    async def moved() -> bool:
        await caller.get("other", never_called)
        return len(fake.hellos) == 2

    # The event is on its way.
    while not await moved():
        pass
    fake.gate.set()
    assert await first == b"first"
    # What it held ends with it, and is not taken up.
    assert fake.hellos[1].resume_token == ""


async def test_one_that_was_left_leaves_the_next_one_its_leases_when_a_late_refusal_comes(
    fake: FakeService, make: MakeCaller
) -> None:
    refused = Refusal(grpc.StatusCode.UNAUTHENTICATED, "the token is known no more")
    caller = make()
    fake.will("GetOrLock", fake.held(refused), refused, hit(b"v"))
    late = asyncio.create_task(caller.get("late", never_called))
    await until(lambda: fake.requests("GetOrLock"))
    for key in ("refused", "on the second one"):
        assert await caller.get(key, never_called) == b"v"
    fake.sessions[1].end()
    (endpoint,) = caller.client._link.endpoints.all
    await until(lambda: endpoint.resume_token == "session 2")
    fake.gate.set()
    assert await late == b"v"
    await caller.get("on the third one", never_called)
    assert [hello.resume_token for hello in fake.hellos] == ["", "", "session 2"]


async def test_a_call_for_many_keys_that_is_refused_midway_is_repeated_for_the_others(
    fake: FakeService, make: MakeCaller
) -> None:
    fake.will("GetOrLockMany", NEVER, each(lambda _: hit(b"v")))
    values = asyncio.create_task(make().many(["a", "b"], never_called))
    await until(lambda: fake.heard)
    fake.sessions[0].refuse_midway(pb.GetOrLockManyResponse(key="a", response=hit(b"v")))
    assert await values == {"a": b"v", "b": b"v"}
    assert [list(asked.keys) for asked in fake.requests("GetOrLockMany")] == [["a", "b"], ["b"]]


async def test_one_that_breaks_is_taken_up_again_and_the_call_asks_again(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", NEVER, hit(b"v"))
    call = asyncio.create_task(make().get("k", never_called))
    await until(lambda: fake.heard)
    fake.sessions[0].end()
    assert await call == b"v"
    assert fake.hellos[1].resume_token == "session 1"
    first, second = fake.requests("GetOrLock")
    assert first.request_id == second.request_id


async def test_a_call_that_leaves_is_told_to_the_service(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", NEVER)
    with pytest.raises(TimeoutError):
        await make().get("k", never_called, leave_after=0.1)
    await until(lambda: [heard.cancelled for heard in fake.heard] == [True])
    assert len(fake.hellos) == 1


async def test_a_lease_that_comes_for_a_caller_that_has_left_is_given_back(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", fake.held(lease("late")))
    caller = make()
    with pytest.raises(TimeoutError):
        await caller.get("k", never_called, leave_after=0.1)
    fake.gate.set()
    await until(lambda: fake.requests("Release"))
    assert fake.requests("Release")[0] == pb.ReleaseRequest(key="k", token="late")


async def test_a_service_that_says_nothing_is_left_in_time(
    fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dibs.fetch_loop.WAY_S", 0.2)
    fake.will("GetOrLock", NEVER)
    with pytest.raises(ServiceError, match="DEADLINE_EXCEEDED"):
        await make(on_unavailable="fail").get("k", never_called, wait=0)
    # The service may hear of the call after its end.
    await until(lambda: fake.heard and fake.heard[0].cancelled)


async def test_what_a_session_ends_a_call_with_is_what_a_call_by_itself_would(
    fake: FakeService, make: MakeCaller
) -> None:
    full = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", 1)
    fake.will("GetOrLock", full, unavailable(1), busy(1), Refusal(grpc.StatusCode.INVALID_ARGUMENT, "key: too long"))
    with pytest.raises(ServiceError, match=r"^INVALID_ARGUMENT: key: too long$"):
        await make().get("k", never_called)
    assert len(fake.heard) == 4


class TestWhereItCannotBeHad:
    async def test_calls_go_by_themselves(self, fake: FakeService, make: MakeCaller) -> None:
        fake.takes_sessions = False
        fake.will("GetOrLock", lease())
        assert await make().get("k", gives(b"v")) == b"v"
        assert [heard.method for heard in fake.heard] == ["GetOrLock", "Publish"]

    async def test_also_where_it_is_late_and_it_is_tried_again_soon(
        self, fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dibs.used_channel._LATE_S", 0.3)
        fake.will("GetOrLock", hit(b"v"))
        fake.welcome.clear()
        caller = make(connect=0.3)
        assert await caller.get("k", never_called) == b"v"
        fake.welcome.set()
        assert await caller.get("k", never_called) == b"v"
        await asyncio.sleep(0.35)
        assert await caller.get("k", never_called) == b"v"
        await until(lambda: len(fake.sessions) == 2 or len(fake.hellos) == 2)


def test_a_process_that_does_not_close_its_client_ends(fake: FakeService) -> None:
    fake.will("GetOrLock", hit(b'"v"'))
    script = "import dibs, sys; print(dibs.Client(sys.argv[1], connect=20).get_or_rebuild('k', lambda: 1, ttl=1))"
    done = subprocess.run(
        [sys.executable, "-c", script, fake.target], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.stdout, done.stderr, done.returncode) == ("v\n", "", 0)


def test_many_threads_share_one(fake: FakeService) -> None:
    fake.will("GetOrLock", hit(b"v"))
    wrong: list[Any] = []
    with Client(fake.target) as client:

        def work(name: int) -> None:
            for at in range(50):
                value = client.get_or_rebuild(f"{name} {at}", lambda: b"mine", ttl=1, codec=BYTES)
                if value != b"v":
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert wrong == []
    assert (len(fake.heard), len(fake.hellos)) == (800, 1)


async def test_calls_that_are_cancelled_and_answered_leave_nothing_behind(
    fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CANCELLED_MAX", 4)
    caller = make()
    fake.will("GetOrLock", fake.held(busy(1)))
    for at in range(4):
        with pytest.raises(TimeoutError):
            await caller.get(f"answered {at}", never_called, leave_after=0.05)
    fake.gate.set()
    (one,) = [endpoint.open._session for endpoint in caller.client._link.endpoints.all]
    await until(lambda: not one._cancelled)
    fake.will("GetOrLock", NEVER)
    for at in range(8):
        with pytest.raises(TimeoutError):
            await caller.get(f"unanswered {at}", never_called, leave_after=0.05)
    # Each is told to the service, also beyond the bound.
    begun_at = monotonic()
    await until(lambda: sum(heard.cancelled for heard in fake.heard) == 8)
    # The fake would give them up after 30 s.
    assert monotonic() - begun_at < 20
    assert len(one._cancelled) == 4


def test_a_report_that_fails_ends_it_and_no_call_hangs(fake: FakeService) -> None:
    class Failing(Metrics):
        def lost(self, namespace: str) -> None:
            raise RuntimeError("the user's exporter is broken")

    fake.will("GetOrLock", lease(expires_in_ms=600_000), hit(b"theirs"))
    with Client(fake.target) as client:
        client._metrics = Failing()

        def rebuild() -> bytes:
            lost = pb.LeaseLost(key="k", token="t", end=pb.LEASE_END_INVALIDATED)
            fake.sessions[0].tell(pb.SessionEvent(lease_lost=lost))
            threading.Event().wait(0.3)
            return client.get("other", codec=BYTES)  # type: ignore[return-value]

        began_at = monotonic()
        assert client.get_or_rebuild("k", rebuild, ttl=60, codec=BYTES) == b"theirs"
        # What an answer may take here is longer.
        assert monotonic() - began_at < 15


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("key", lambda caller: caller.get("k" * 5_000_000, gives(b"v"))),
        ("key", lambda caller: caller.find("k" * 5_000_000)),
        ("key", lambda caller: caller.put("k" * 5_000_000, b"v")),
        ("key", lambda caller: caller.explain("k" * 5_000_000)),
        ("keys[1]", lambda caller: caller.many(["a", "k" * 5_000_000], Source())),
        ("keys[0]", lambda caller: caller.invalidate(["k" * 5_000_000])),
        ("tags[0]", lambda caller: caller.invalidate(tags=["t" * 5_000_000])),
        ("namespace", lambda caller: caller.get("k", gives(b"v"), namespace="n" * 5_000_000)),
        ("namespace", lambda caller: caller.invalidate(["k"], namespace="n" * 5_000_000)),
        ("traceparent", lambda caller: caller.get("k", gives(b"v"), traceparent="t" * 5_000_000)),
    ],
)
async def test_what_is_too_long_for_the_service_does_not_end_the_calls_of_others(
    fake: FakeService, make: MakeCaller, name: str, call: Callable[[Caller], Awaitable[Any]]
) -> None:
    fake.will("GetOrLock", NEVER)
    caller = make(on_unavailable="fail")
    other = asyncio.ensure_future(caller.get("other", never_called, leave_after=2))
    await until(lambda: fake.requests("GetOrLock"))
    with pytest.raises(ServiceError, match=rf"INVALID_ARGUMENT: {re.escape(name)}: "):
        await call(caller)
    with pytest.raises(TimeoutError):
        await other
    assert len(fake.hellos) == 1


@pytest.mark.parametrize("many", [False, True])
async def test_a_lease_that_comes_after_its_calls_time_is_given_back(
    fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    def late(request: pb.GetOrLockManyRequest) -> Any:
        fake.gate.wait(30)
        return each(lambda _: lease("late"))(request)

    monkeypatch.setattr(fetch_loop, "WAY_S", 0.2)
    monkeypatch.setattr(many_answers, "WAY_S", 0.2)
    fake.will("GetOrLock", fake.held(lease("late")))
    fake.will("GetOrLockMany", late)
    caller = make(on_unavailable="fail")
    getting = caller.many(["k"], never_called, wait=0) if many else caller.get("k", never_called, wait=0)
    with pytest.raises((ServiceError, ManyError), match="DEADLINE_EXCEEDED"):
        await getting
    fake.gate.set()
    await until(lambda: fake.requests("Release"))
    assert [one.token for one in fake.requests("Release")] == ["late"]
