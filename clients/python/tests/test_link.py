"""How a client is connected: loops that come and go, forks, Unix sockets; both clients where both have it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from callers import PATIENCE_S, MakeCaller, Recorder, gives, never_called, until
from fake_service import STORED, FakeService, hit, lease

from dibs import BYTES, AsyncClient, Client, ServiceError

HERE = Path(__file__).parent


async def value() -> bytes:
    return b"v"


class TestLoops:
    def test_may_come_one_after_another(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease())
        client = AsyncClient(fake.target)
        for _ in range(3):
            assert asyncio.run(client.get_or_rebuild("k", value, ttl=1, codec=BYTES)) == b"v"
        asyncio.run(client.close())
        assert len(fake.requests("Publish")) == 3
        with pytest.raises(ServiceError, match="closed"):
            asyncio.run(client.get_or_rebuild("k", value, ttl=1))

    def test_that_have_ended_are_forgotten(self, fake: FakeService) -> None:
        fake.will("GetOrLock", hit(b"v"))
        client = AsyncClient(fake.target)
        for _ in range(3):
            asyncio.run(client.get_or_rebuild("k", value, ttl=1, codec=BYTES))
        gc.collect()
        assert len(client._crews) == 0
        asyncio.run(client.close())

    def test_may_live_side_by_side(self, fake: FakeService) -> None:
        fake.will("GetOrLock", hit(b"v"))
        client, results = AsyncClient(fake.target), []

        async def calls(name: str) -> list[bytes | None]:
            async def one(at: int) -> bytes | None:
                return await client.get_or_rebuild(f"{name} {at % 20}", value, ttl=1, codec=BYTES)

            return [await one(at) for at in range(50)] + await asyncio.gather(*(one(at) for at in range(50)))

        def run(name: str) -> None:
            results.extend(asyncio.run(asyncio.wait_for(calls(name), PATIENCE_S)))

        threads = [threading.Thread(target=run, args=(f"{at}",)) for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [b"v"] * 400
        asyncio.run(client.close())

    def test_share_a_rebuild_that_runs_in_another(self, fake: FakeService) -> None:
        fake.will("GetOrLock", lease())
        client = AsyncClient(fake.target)
        begun, gate = threading.Event(), threading.Event()

        async def slow() -> bytes:
            begun.set()
            await asyncio.to_thread(gate.wait, PATIENCE_S)
            return b"slow"

        results: list[bytes | None] = []

        def run(fn: Callable[[], object]) -> threading.Thread:
            def work() -> None:
                results.append(asyncio.run(client.get_or_rebuild("k", fn, ttl=1, codec=BYTES)))  # type: ignore[arg-type]

            thread = threading.Thread(target=work)
            thread.start()
            return thread

        first = run(slow)
        begun.wait(PATIENCE_S)
        second = run(value)
        while [running.joined for running in client._rebuilds._running.values()] != [1]:
            threading.Event().wait(0.002)
        gate.set()
        first.join()
        second.join()
        assert results == [b"slow", b"slow"]
        assert len(fake.requests("GetOrLock")) == 1
        asyncio.run(client.close())


def run_child(work: Callable[[], object]) -> Callable[[], None]:
    """Forks; the child does the work and ends. What is returned waits for it, and fails if it failed or hangs."""
    child = os.fork()
    if child == 0:
        # Nothing of the test's own machinery may run in the child, not even after an error.
        status = 1
        try:
            signal.alarm(int(PATIENCE_S))
            work()
            status = 0
        finally:
            os._exit(status)

    def join() -> None:
        assert os.waitpid(child, 0)[1] == 0

    return join


FORK = """
import asyncio, os, signal, sys, threading
import dibs

target, kind = sys.argv[1:]
make = dibs.Client if kind == "threads" else dibs.AsyncClient
client = make(target, connect=20)

async def value():
    return "mine"

def get(key):
    if kind == "threads":
        return client.get_or_rebuild(key, lambda: "mine", ttl=60)
    return asyncio.run(client.get_or_rebuild(key, value, ttl=60))

got = []
# Calls that are under way while the process forks: one of them for the key that the child asks for.
waiting = [threading.Thread(target=lambda key=f"held {at}": got.append(get(key))) for at in range(4)]
for thread in waiting:
    thread.start()
sys.stdin.readline()
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        status = 1
        try:
            status = 0 if get("held 0") == "theirs" and get("free") == "theirs" else 2
        finally:
            os._exit(status)
    children.append(pid)
statuses = [os.waitpid(pid, 0)[1] for pid in children]
print(statuses, flush=True)
for thread in waiting:
    thread.join()
print(got, get("free"), flush=True)
"""


def test_a_client_that_is_dropped_lets_go_of_its_connection(fake: FakeService) -> None:
    fake.will("GetOrLock", hit(b"v"))
    client = Client(fake.target)
    client.get_or_rebuild("k", lambda: b"", ttl=1, codec=BYTES)
    link = client._link
    del client
    gc.collect()
    for _ in range(1_000):
        if link._over:
            break
        threading.Event().wait(0.01)
    assert link.endpoints.all[0].open is None


class TestAFork:
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize("kind", ["threads", "loop"])
    def test_with_calls_open_leaves_parent_and_child_working(self, fake: FakeService, kind: str) -> None:
        fake.will("GetOrLock", *[fake.held(hit(b'"late"'))] * 4, hit(b'"theirs"'))
        env = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
        parent = subprocess.Popen(
            [sys.executable, "-c", FORK, fake.target, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        with parent:
            while len(fake.heard) < 4:
                threading.Event().wait(0.002)
            said, _ = parent.communicate("\n", timeout=2 * PATIENCE_S)
        assert said.splitlines() == ["[0, 0, 0]", "['theirs', 'theirs', 'theirs', 'theirs'] theirs"]

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_gives_the_child_a_name_of_its_own(self, fake: FakeService) -> None:
        fake.will("GetOrLock", hit(b"v"))
        with Client(fake.target) as client:
            client.get_or_rebuild("k", lambda: b"", ttl=1, codec=BYTES)
            run_child(lambda: client.get_or_rebuild("k", lambda: b"", ttl=1, codec=BYTES))()
            client.get_or_rebuild("k", lambda: b"", ttl=1, codec=BYTES)
        first, child, again = (request.holder for request in fake.requests("GetOrLock"))
        assert first == again != child


FORK_OF_A_STUB = """
import asyncio, os, signal, sys
import dibs
from dibs.v1 import coordinator_pb2 as pb

client = dibs.AsyncClient(sys.argv[1], connect=20)

def get():
    async def call():
        return (await client.stub.GetOrLock(pb.GetOrLockRequest(key="k"), timeout=40)).hit.value.decode()
    return asyncio.run(call())

async def open_and_fork():
    held = asyncio.ensure_future(client.stub.GetOrLock(pb.GetOrLockRequest(key="held"), timeout=60))
    await asyncio.to_thread(sys.stdin.readline)
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            return None, None
        children.append(pid)
    try:
        await held
        ended = "answered"
    except Exception as error:
        ended = f"{type(error).__name__} {error.code().name}"
    return children, ended

first = get()
loop = asyncio.new_event_loop()
children, ended = loop.run_until_complete(open_and_fork())
if children is None:
    signal.alarm(60)
    os._exit(0 if get() == "v" else 2)
print(first, ended, get(), [os.waitpid(pid, 0)[1] for pid in children], flush=True)
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_stub_of_a_loop_outlives_a_fork(fake: FakeService) -> None:
    fake.will("GetOrLock", hit(b"v"), fake.held(hit(b"late")), hit(b"v"))
    env = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    command = [sys.executable, "-c", FORK_OF_A_STUB, fake.target]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    with parent:
        while len(fake.heard) < 2:
            threading.Event().wait(0.002)
        said, _ = parent.communicate("\n", timeout=2 * PATIENCE_S)
    assert said.splitlines() == ["v AioRpcError CANCELLED v [0, 0, 0]"]


async def test_a_unix_socket_is_a_target(make: MakeCaller, tmp_path: Path) -> None:
    fake = FakeService().start(listen=f"unix://{tmp_path}/dibs.sock")
    fake.will("GetOrLock", lease())
    fake.will("Publish", STORED)
    hooks = Recorder()
    assert await make(target=fake.target, token="secret", hooks=hooks).get("k", gives(b"v")) == b"v"
    assert hooks.of("publish") == ["stored"]
    assert fake.heard[0].metadata["authorization"] == "Bearer secret"
    fake.stop()


class TestReady:
    async def test_is_when_the_connection_stands(self, make: MakeCaller) -> None:
        await make().ready()

    async def test_is_an_error_where_it_never_does(self, make: MakeCaller) -> None:
        with pytest.raises(ServiceError, match=r"no connection to 127.0.0.1:9 within 0.1 s") as raised:
            await make(target="127.0.0.1:9").ready(0.1)
        assert raised.value.code == "UNAVAILABLE"


async def test_flush_waits_for_rebuilds_behind(fake: FakeService, make: MakeCaller) -> None:
    fake.will("GetOrLock", lease(previous=b"old"))
    hooks, gate = Recorder(), asyncio.Event()
    caller = make(hooks=hooks)

    async def rebuild(_: object) -> bytes:
        await gate.wait()
        return b"new"

    assert await caller.get("k", rebuild) == b"old"
    assert not await caller.flush(0.05)
    gate.set()
    assert await caller.flush(PATIENCE_S)
    assert hooks.of("publish") == ["stored"]
    # A client that is flushed goes on.
    fake.will("GetOrLock", hit(b"new"))
    assert await caller.get("k", never_called) == b"new"
    await until(lambda: True)


async def test_tasks_of_one_turn_share_a_request(fake: FakeService) -> None:
    fake.will("GetOrLock", lease())
    async with AsyncClient(fake.target) as client:

        async def rebuild() -> bytes:
            return b"v"

        calls = [client.get_or_rebuild("k", rebuild, ttl=1, codec=BYTES) for _ in range(10)]
        assert await asyncio.gather(*calls) == [b"v"] * 10
    assert [heard.method for heard in fake.heard] == ["GetOrLock", "Publish"]
