"""What only threads, or only a loop, can do to a call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from callers import PATIENCE_S, Recorder, until
from fake_service import LOST, NEVER, FakeService, hit, lease, unavailable

from dibs import BYTES, AsyncClient, Client, ReentrantRebuildError, ServiceError, thread_waits, threads
from dibs.fetch_loop import fetch_loop
from dibs.steps import Call
from dibs.v1 import coordinator_pb2 as pb


@pytest.fixture
def client(fake: FakeService) -> Iterator[Client]:
    with Client(fake.target) as client:
        yield client
        fake.gate.set()


@pytest.fixture
def in_threads() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


class OneAnswer:
    """A link whose calls for a lease have an answer that the test gives."""

    def __init__(self, answer: Future[Any], sent: list[Call]) -> None:
        self.closed = False
        self._answer = answer
        self._sent = sent

    def call(self, call: Call) -> Future[Any]:
        self._sent.append(call)
        if call.method == "GetOrLock":
            return self._answer
        released: Future[Any] = Future()
        released.set_result(pb.ReleaseResponse())
        return released

    def refuse(self) -> None: ...
    def close(self) -> None: ...
    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...


class TestThreads:
    def test_a_rebuild_runs_in_its_callers_thread(self, fake: FakeService, client: Client) -> None:
        fake.will("GetOrLock", lease())
        assert client.get_or_rebuild("k", threading.get_ident, ttl=1) == threading.get_ident()

    def test_an_interrupt_gives_the_lease_back_without_a_failure(self, fake: FakeService, client: Client) -> None:
        fake.will("GetOrLock", lease())

        def interrupted() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.get_or_rebuild("k", interrupted, ttl=1)
        client.close(PATIENCE_S)
        (release,) = fake.requests("Release")
        assert not release.HasField("failure")

    def test_after_an_interrupt_a_caller_that_had_joined_rebuilds_under_a_lease_of_its_own(
        self, fake: FakeService, client: Client, in_threads: Callable[..., Future[Any]]
    ) -> None:
        fake.will("GetOrLock", lease())
        begun, joined = threading.Event(), threading.Event()
        rebuilds: list[int] = []

        def rebuild() -> str:
            rebuilds.append(threading.get_ident())
            if len(rebuilds) > 1:
                return "v"
            begun.set()
            joined.wait(PATIENCE_S)
            raise KeyboardInterrupt

        first = in_threads(client.get_or_rebuild, "k", rebuild, ttl=1)
        begun.wait(PATIENCE_S)
        second = in_threads(client.get_or_rebuild, "k", rebuild, ttl=1)
        (running,) = client._rebuilds._running.values()
        while running.joined < 1:
            threading.Event().wait(0.002)
        joined.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(PATIENCE_S)
        assert second.result(PATIENCE_S) == "v"
        assert len(set(rebuilds)) == 2
        assert [heard.method for heard in fake.heard] == ["GetOrLock", "Release", "GetOrLock", "Publish"]

    def test_a_rebuild_that_asks_for_its_own_key_is_told_so(self, fake: FakeService, client: Client) -> None:
        fake.will("GetOrLock", lease())
        with pytest.raises(ReentrantRebuildError, match='the rebuild of "k" asks for "k" itself'):
            client.get_or_rebuild("k", lambda: client.get_or_rebuild("k", lambda: 1, ttl=1), ttl=1)

    def test_a_void_lease_frees_the_thread_that_waits_for_another_ones_rebuild(
        self,
        fake: FakeService,
        client: Client,
        in_threads: Callable[..., Future[Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=200), hit(b"theirs"))
        fake.will("Extend", LOST)
        first_is_here, second_is_here, gate = threading.Event(), threading.Event(), threading.Event()
        joinable = client._rebuilds.joinable

        def held_back(terms: Any) -> Any:
            # The first one's request is not sent before the second has come.
            first_is_here.set()
            second_is_here.wait(PATIENCE_S)
            return joinable(terms)

        def hangs() -> bytes:
            gate.wait(PATIENCE_S)
            return b"old"

        monkeypatch.setattr(client._rebuilds, "joinable", held_back)
        first = in_threads(client.get_or_rebuild, "k", hangs, ttl=1, codec=BYTES)
        first_is_here.wait(PATIENCE_S)
        second = in_threads(client.get_or_rebuild, "k", hangs, ttl=1, codec=BYTES)
        (flight,) = client._crew.flights._flights.values()
        while flight.callers < 2:
            threading.Event().wait(0.002)
        second_is_here.set()
        assert second.result(PATIENCE_S / 2) == b"theirs"
        gate.set()
        assert first.result(PATIENCE_S) == b"theirs"

    def test_leaving_goes_through_a_rebuild_that_is_shared_without_the_service(
        self, fake: FakeService, client: Client, in_threads: Callable[..., Future[Any]]
    ) -> None:
        fake.will("GetOrLock", unavailable())
        begun, opened = threading.Event(), threading.Event()

        def slow() -> str:
            begun.set()
            opened.wait(PATIENCE_S)
            return "mine"

        first = in_threads(client.get_or_rebuild, "k", slow, ttl=1)
        begun.wait(PATIENCE_S)
        with pytest.raises(TimeoutError):
            client.get_or_rebuild("k", slow, ttl=1, timeout=0.1)
        opened.set()
        assert first.result(PATIENCE_S) == "mine"

    def test_an_answer_that_came_just_before_all_left_is_put_in_order(self) -> None:
        sent: list[Call] = []
        answer: Future[Any] = Future()

        class Over(Client):
            def _make_link(self) -> Any:
                return OneAnswer(answer, sent)

        client = Over()
        task = client._task(client._terms("k", {"ttl": 1}), lambda *_: pytest.fail("rebuilt without need"), BYTES)
        course = threads.Course(fetch_loop(task), client._crew)
        with pytest.raises(thread_waits.LeftError):
            course.drive(0)
        answer.set_result(lease())
        course.abandon()
        assert [call.method for call in sent] == ["GetOrLock", "Release"]
        assert not sent[1].request.HasField("failure")


class TestALoop:
    async def test_a_rebuild_that_cancels_itself_does_not_cancel_its_caller(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease())

        async def rebuild() -> None:
            raise asyncio.CancelledError

        async with AsyncClient(fake.target) as client:
            with pytest.raises(ServiceError, match="cancelled by itself"):
                await client.get_or_rebuild("k", rebuild, ttl=1)
        assert not fake.requests("Release")[0].HasField("failure")

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
    def test_an_interrupt_gives_the_lease_back_without_a_failure(self, fake: FakeService, error: BaseException) -> None:
        fake.will("GetOrLock", lease())

        async def rebuild() -> None:
            raise error

        async def main() -> None:
            async with AsyncClient(fake.target) as client:
                await client.get_or_rebuild("k", rebuild, ttl=1)

        with pytest.raises(type(error)):
            asyncio.run(main())
        (release,) = fake.requests("Release")
        assert not release.HasField("failure")

    async def test_a_rebuild_that_hears_no_cancel_does_not_keep_its_callers(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=100), hit(b"theirs"))
        fake.will("Extend", LOST)
        gate, went_on = asyncio.Event(), asyncio.Event()

        async def deaf() -> bytes:
            while not gate.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await gate.wait()
            went_on.set()
            return b"old"

        async with AsyncClient(fake.target) as client:
            assert await client.get_or_rebuild("k", deaf, ttl=1, codec=BYTES) == b"theirs"
            gate.set()
            await went_on.wait()
        assert fake.requests("Publish") == []

    async def test_a_rebuild_that_no_caller_waits_for_is_cancelled_and_its_lease_given_back(
        self, fake: FakeService
    ) -> None:
        fake.will("GetOrLock", lease())
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def rebuild() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with AsyncClient(fake.target) as client:
            calls = [asyncio.create_task(client.get_or_rebuild("k", rebuild, ttl=1)) for _ in range(2)]
            await begun.wait()
            calls[0].cancel()
            await asyncio.wait(calls[:1])
            assert not cancelled.is_set()
            calls[1].cancel()
            await cancelled.wait()
            await until(lambda: fake.requests("Release"))
        (release,) = fake.requests("Release")
        assert not release.HasField("failure")

    async def test_what_a_cancelled_rebuild_still_returns_is_published(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease())
        begun = asyncio.Event()

        async def rebuild() -> bytes:
            begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return b"v"

        async with AsyncClient(fake.target) as client:
            call = asyncio.create_task(client.get_or_rebuild("k", rebuild, ttl=1, codec=BYTES))
            await begun.wait()
            call.cancel()
            await asyncio.wait([call])
            await until(lambda: fake.requests("Publish"))
        assert fake.requests("Publish")[0].value == b"v"

    async def test_an_answer_that_came_just_before_all_left_is_put_in_order(self) -> None:
        sent: list[Call] = []
        answer: Future[Any] = Future()

        class Over(AsyncClient):
            def _make_link(self) -> Any:
                return OneAnswer(answer, sent)

        async def rebuild() -> None:
            pytest.fail("rebuilt without need")

        async with Over() as client:
            call = asyncio.create_task(client.get_or_rebuild("k", rebuild, ttl=1))
            await until(lambda: sent)
            answer.set_result(lease())
            call.cancel()
            await asyncio.wait([call])
        assert call.cancelled()
        assert [call.method for call in sent] == ["GetOrLock", "Release"]

    async def test_closing_cancels_what_does_not_end_within_its_grace(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease(previous=b"old"))
        hooks = Recorder()

        async def rebuild() -> bytes:
            await asyncio.Event().wait()
            return b""

        client = AsyncClient(fake.target, hooks=hooks)
        assert await client.get_or_rebuild("k", rebuild, ttl=1, codec=BYTES) == b"old"
        await client.close(grace=0.05)
        (release,) = fake.requests("Release")
        assert not release.HasField("failure")

    async def test_the_stub_is_the_contracts(self, fake: FakeService) -> None:
        fake.will("GetOrLock", hit(b"v"))
        async with AsyncClient(fake.target, token="secret") as client:
            response = await client.stub.GetOrLock(pb.GetOrLockRequest(key="k"), metadata=(("a", "b"),), timeout=20)
        assert response.hit.value == b"v"
        assert fake.heard[0].metadata["authorization"] == "Bearer secret"
        assert fake.heard[0].metadata["a"] == "b"


def test_the_stub_for_threads_is_the_contracts_too(fake: FakeService) -> None:
    fake.will("GetOrLock", hit(b"v"))
    with Client(fake.target, token="secret") as client:
        asked = pb.GetOrLockRequest(key="k")
        for response in (client.stub.GetOrLock(asked, timeout=20), client.stub.GetOrLock.future(asked).result()):
            assert response.hit.value == b"v"
    assert [heard.metadata["authorization"] for heard in fake.heard] == ["Bearer secret"] * 2


async def test_a_call_can_be_waited_for_by_a_task_and_left_by_it(fake: FakeService) -> None:
    fake.will("GetOrLock", NEVER)
    async with AsyncClient(fake.target) as client:
        call = asyncio.create_task(client.invalidate(["k"]))
        fake.will("Invalidate", NEVER)
        await until(lambda: fake.heard)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: fake.heard[0].cancelled)
