"""A real service, as it is built, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S, Context, Recorder, caller_of, gives, until

from dibs import BusyError, LeaseLostError, ServiceError

HERE = Path(__file__).parent.parent
KINDS = ["threads", "loop"]


class Service:
    """`node dist/main.js` on its embedded default."""

    def __init__(self, target: str = "127.0.0.1:0") -> None:
        env = {"DIBS_LISTEN": target, "DIBS_HTTP_LISTEN": "127.0.0.1:0", "DIBS_LOG_LEVEL": "error"}
        self._process = subprocess.Popen(
            ["node", "dist/main.js"],
            cwd=HERE.parent.parent,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        serving = re.search(r"grpc=(\S+)", said)
        assert serving is not None, said
        self.target = serving[1]

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.kill()


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("start", "Ada\n"),
        ("rebuild_once", "Ada and Ada after 1 query\n"),
        ("stale_while_revalidate", "page 1, then page 1 at once, then page 2\n"),
        ("invalidate_on_write", "10, then 12\n"),
    ],
)
def test_examples_do_what_they_say(service: Service, name: str, printed: str) -> None:
    done = example(name, service)
    # On a busy machine, a new process may take more than two seconds to connect. Then it is not coordinated. Half a
    # second may pass between two of its lines, too, and that looks like a wait.
    for _ in range(10):
        if "cannot be reached" not in done.stderr and "after a wait" not in done.stdout:
            break
        # It must not find what the run before has published.
        another = Service()
        done = example(name, another)
        another.kill()
    assert (done.stdout, done.stderr) == (printed, "")


def example(name: str, service: Service) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DIBS_TARGET": service.target}
    return subprocess.run(
        [sys.executable, f"examples/{name}.py"], cwd=HERE, env=env, capture_output=True, text=True, timeout=60
    )


def test_the_start_in_the_readme_is_one_of_them() -> None:
    block = re.search(r"^```python\n(.*?)^```$", (HERE / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert block is not None
    assert block[1] == (HERE / "examples/start.py").read_text()
    assert len(block[1].splitlines()) <= 10


@pytest.mark.parametrize("kind", KINDS)
async def test_one_of_many_processes_rebuilds(service: Service, kind: str) -> None:
    callers = [caller_of(kind, target=service.target) for _ in range(5)]
    rebuilds = []

    async def rebuild(_: Context) -> bytes:
        rebuilds.append(1)
        await asyncio.sleep(0.05)
        return b"v"

    values = await asyncio.gather(*(caller.get(f"once {kind}", rebuild) for caller in callers))
    assert (values, len(rebuilds)) == ([b"v"] * 5, 1)
    for caller in callers:
        await caller.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_invalidation_loses_the_lease_and_the_rebuild_begins_anew(service: Service, kind: str) -> None:
    hooks = Recorder()
    caller = caller_of(kind, target=service.target, hooks=hooks)
    begun, reasons = asyncio.Event(), []

    async def rebuild(context: Context) -> bytes:
        reasons.append(context.reason)
        if len(reasons) == 2:
            return b"new"
        begun.set()
        await until(context.lost.is_set)
        raise LeaseLostError

    call = asyncio.create_task(caller.get(f"voided {kind}", rebuild, lease=30))
    await begun.wait()
    assert (await caller.invalidate([f"voided {kind}"])).leases_voided == 1
    assert await call == b"new"
    assert reasons == ["miss", "invalidated"]
    assert hooks.of("lease_lost") == [f"voided {kind}"]
    await caller.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_wait_ends_where_the_rebuild_takes_longer(service: Service, kind: str) -> None:
    holder, hurried = caller_of(kind, target=service.target), caller_of(kind, target=service.target)
    begun, opened = asyncio.Event(), asyncio.Event()

    async def rebuild(_: Context) -> bytes:
        begun.set()
        await opened.wait()
        return b"v"

    call = asyncio.create_task(holder.get(f"slow {kind}", rebuild))
    await begun.wait()
    for wait in (0, 0.1):
        with pytest.raises(BusyError) as raised:
            await hurried.get(f"slow {kind}", gives(b"mine"), wait=wait)
        assert raised.value.reason == "wait_ended"
        assert raised.value.retry_after > 0
    opened.set()
    assert await call == b"v"
    for caller in (holder, hurried):
        await caller.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_bad_input_is_named(service: Service, kind: str) -> None:
    caller = caller_of(kind, target=service.target)
    with pytest.raises(ServiceError, match=r"^INVALID_ARGUMENT: ttl_ms: 0 is outside 1 to 31536000000"):
        await caller.get(f"bad {kind}", gives(b"v"), ttl=0)
    await caller.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_that_is_killed_is_done_without_and_found_again(kind: str) -> None:
    service, hooks = Service(), Recorder()
    caller = caller_of(kind, target=service.target, hooks=hooks)
    begun, opened = asyncio.Event(), asyncio.Event()

    async def rebuild(_: Context) -> bytes:
        begun.set()
        await opened.wait()
        return b"v"

    holding = asyncio.create_task(caller.get("held", rebuild))
    await begun.wait()
    waiting = asyncio.create_task(caller.get("held", gives(b"mine"), read="store"))
    await asyncio.sleep(0.1)
    service.kill()
    # Who waited for another one's rebuild makes the value; who rebuilt keeps its own.
    assert await waiting == b"mine"
    opened.set()
    assert await holding == b"v"
    assert await caller.get("k", gives(b"local")) == b"local"
    assert hooks.of("local_rebuild") == ["held", "k"]
    service = Service(service.target)
    await until_served(caller, hooks)
    await caller.close()
    service.kill()


async def until_served(caller: Any, hooks: Recorder) -> None:
    hooks.told.clear()
    give_up_at, at = monotonic() + PATIENCE_S, 0
    while "stored" not in hooks.of("publish"):
        assert monotonic() < give_up_at, "the service was not found again"
        at += 1
        await caller.get(f"again {at}", gives(b"v"))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_that_takes_connections_and_says_nothing_is_done_without_in_time(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        caller = caller_of(kind, target=f"127.0.0.1:{mute.getsockname()[1]}", connect=0.2)
        asked_at = monotonic()
        assert await caller.get("k", gives(b"mine")) == b"mine"
        # Without that bound, a call would have as long as a wait.
        assert monotonic() - asked_at < 20
        with pytest.raises(ServiceError) as raised:
            await caller.get("k", gives(b"mine"), on_unavailable="fail")
        assert raised.value.code == "UNAVAILABLE"
        await caller.close()
