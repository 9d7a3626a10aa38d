"""The doubles, by the same calls as the clients that they stand for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from callers import Caller, Context, Recorder, caller_of, fails, gives, never_called, until

from dibs import JSON, LeaseLostError, RebuildFailedError, ServiceError


@pytest.fixture
def hooks() -> Recorder:
    return Recorder()


@pytest.fixture(params=["threads in memory", "loop in memory"])
async def caller(request: pytest.FixtureRequest, hooks: Recorder) -> AsyncIterator[Caller]:
    caller = caller_of(request.param, hooks=hooks)
    yield caller
    await caller.close()


def advance(caller: Caller, seconds: float) -> None:
    client: Any = caller.client
    client.advance(seconds)


async def test_keeps_a_value_for_its_ttl(caller: Caller, hooks: Recorder) -> None:
    assert await caller.get("k", gives({"a": 1}), codec=JSON, ttl=10) == {"a": 1}
    assert await caller.get("k", gives({"a": 2}), codec=JSON, ttl=10) == {"a": 1}
    advance(caller, 11)
    assert await caller.get("k", gives({"a": 3}), codec=JSON, ttl=10) == {"a": 3}
    assert hooks.told == [("publish", "stored", True, False), ("hit", "fresh"), ("publish", "stored", True, False)]


async def test_keeps_that_there_is_nothing(caller: Caller) -> None:
    assert await caller.get("k", gives(None), ttl=10, absent_ttl=2) is None
    assert await caller.get("k", gives(b"v"), ttl=10) is None
    advance(caller, 3)
    assert await caller.get("k", gives(b"v"), ttl=10) == b"v"


async def test_serves_stale_values_while_it_rebuilds(caller: Caller, hooks: Recorder) -> None:
    await caller.get("k", gives(b"old"), ttl=10, stale_ttl=100)
    advance(caller, 11)
    assert await caller.get("k", gives(b"new"), ttl=10, stale_ttl=100) == b"old"
    await until(lambda: len(hooks.of("publish")) == 2)
    assert await caller.get("k", gives(b"newer"), ttl=10) == b"new"
    advance(caller, 11)
    assert await caller.get("k", gives(b"newest"), ttl=10, stale="forbid") == b"newest"


async def test_joins_and_lets_one_rebuild_at_a_time(caller: Caller) -> None:
    opened, rebuilds = asyncio.Event(), []

    async def rebuild(_: Context) -> bytes:
        rebuilds.append(1)
        await opened.wait()
        return b"v"

    calls = [asyncio.create_task(caller.get("k", rebuild, read=read)) for read in ("near", "near", "store", "store")]
    await until(lambda: rebuilds)
    opened.set()
    assert await asyncio.gather(*calls) == [b"v"] * 4
    assert len(rebuilds) == 1


async def test_a_failure_is_told_until_its_back_off_is_over(caller: Caller) -> None:
    error = ValueError("no row")
    with pytest.raises(ValueError, match="no row"):
        await caller.get("k", fails(error))
    with pytest.raises(RebuildFailedError, match="no row"):
        await caller.get("k", gives(b"v"))
    advance(caller, 1.1)
    assert await caller.get("k", gives(b"v")) == b"v"


async def test_invalidates_by_key_by_tag_and_all(caller: Caller) -> None:
    for key in ("a", "b", "c"):
        await caller.get(key, gives(b"1"), tags=[f"tag {key}"])
    await caller.get("a", gives(b"theirs"), namespace="other")
    assert (await caller.invalidate(["a", "no such"])).keys_invalidated == 1
    await caller.invalidate(tags=["tag b"])
    assert [await caller.get(key, gives(b"2")) for key in ("a", "b", "c")] == [b"2", b"2", b"1"]
    await caller.invalidate(all=True)
    assert [await caller.get(key, gives(b"3")) for key in ("a", "b", "c")] == [b"3", b"3", b"3"]
    assert await caller.get("a", gives(b"ours"), namespace="other") == b"theirs"


async def test_marks_stale(caller: Caller, hooks: Recorder) -> None:
    await caller.get("k", gives(b"old"), stale_ttl=60)
    await caller.invalidate(["k"], mode="mark_stale")
    assert await caller.get("k", gives(b"new")) == b"old"
    await until(lambda: len(hooks.of("publish")) == 2)
    assert await caller.get("k", gives(b"newer")) == b"new"


@pytest.mark.parametrize(
    ("reached", "during"),
    [
        ({"keys": ["k"]}, False),
        ({"tags": ["a"]}, False),
        ({"all": True}, False),
        ({"tags": ["a"]}, True),
        ({"all": True}, True),
    ],
)
async def test_a_marked_value_is_served_for_its_stale_time_only(
    caller: Caller, reached: dict[str, Any], during: bool
) -> None:
    async def mark() -> None:
        await caller.invalidate(**reached, mode="mark_stale")
        advance(caller, 5)

    async def rebuild(_: Context) -> bytes:
        if during:
            await mark()
        return b"v"

    await caller.get("k", rebuild, ttl=60, stale_ttl=10, tags=["a"])
    if not during:
        await mark()
    assert await caller.find("k") == b"v"
    # A second mark counts from the first.
    await mark()
    assert await caller.find("k") is None


async def test_a_mark_of_a_stale_value_changes_no_time(caller: Caller) -> None:
    await caller.get("k", gives(b"v"), ttl=60, stale_ttl=10)
    advance(caller, 65)
    await caller.invalidate(["k"], mode="mark_stale")
    advance(caller, 4)
    assert await caller.find("k") == b"v"
    advance(caller, 1)
    assert await caller.find("k") is None


async def test_an_invalidation_voids_the_rebuild_that_runs(caller: Caller, hooks: Recorder) -> None:
    begun, opened, rebuilds = asyncio.Event(), asyncio.Event(), []

    async def rebuild(context: Context) -> bytes:
        rebuilds.append(context.reason)
        begun.set()
        await opened.wait()
        return b"old"

    call = asyncio.create_task(caller.get("k", rebuild))
    await begun.wait()
    assert (await caller.invalidate(["k"])).leases_voided == 1
    opened.set()
    assert await call == b"old"
    assert hooks.of("publish") == ["invalidated"]
    assert await caller.get("k", gives(b"new")) == b"new"


async def test_tells_why_it_rebuilds(caller: Caller) -> None:
    reasons = []

    async def rebuild(context: Context) -> bytes:
        reasons.append(context.reason)
        if len(reasons) == 4:
            raise LeaseLostError
        return b"v"

    await caller.get("k", rebuild, ttl=1)
    advance(caller, 2)
    await caller.get("k", rebuild)
    await caller.get("k", rebuild, refresh=True)
    await caller.invalidate(["k"])
    with pytest.raises(LeaseLostError):
        await caller.get("k", rebuild)
    advance(caller, 2)
    await caller.get("k", rebuild)
    assert reasons == ["miss", "expired", "refresh", "invalidated", "holder_lost"]


async def test_refuses_what_the_service_refuses(caller: Caller) -> None:
    with pytest.raises(ServiceError, match="key: 0 bytes"):
        await caller.get("", gives(b"v"))
    with pytest.raises(ServiceError, match="ttl_ms: 0 is outside"):
        await caller.get("k", gives(b"v"), ttl=0)


async def test_an_empty_namespace_is_the_default_one(caller: Caller) -> None:
    await caller.get("k", gives(b"old"), tags=["t"])
    assert await caller.get("k", gives(b"new"), namespace="default") == b"old"
    assert (await caller.invalidate(["k"], namespace="default")).keys_invalidated == 1
    assert await caller.get("k", gives(b"new")) == b"new"


@pytest.mark.parametrize("reached", [{"keys": ["k"]}, {"all": True}])
async def test_an_invalidation_ends_a_back_off(caller: Caller, reached: Any) -> None:
    with pytest.raises(KeyError):
        await caller.get("k", fails(KeyError("gone")))
    with pytest.raises(RebuildFailedError):
        await caller.get("k", gives(b"v"))
    await caller.invalidate(**reached)
    assert await caller.get("k", gives(b"v")) == b"v"


@pytest.mark.parametrize("wait", [20, 40])
async def test_a_read_waits_for_a_rebuild_as_long_as_it_says(caller: Caller, wait: float) -> None:
    begun, opened = asyncio.Event(), asyncio.Event()

    async def rebuild(_: Context) -> bytes:
        begun.set()
        await opened.wait()
        return b"v"

    call = asyncio.create_task(caller.get("k", rebuild, refresh=True))
    await begun.wait()
    read = asyncio.ensure_future(caller.find("k", wait=wait))
    await asyncio.sleep(0.1)
    opened.set()
    assert (await read, await call) == (b"v", b"v")


async def test_a_refresh_or_set_that_waited_gets_the_failure(caller: Caller) -> None:
    begun, opened = asyncio.Event(), asyncio.Event()

    async def rebuild(_: Context) -> bytes:
        begun.set()
        await opened.wait()
        raise ValueError("no row")

    call = asyncio.create_task(caller.get("k", rebuild))
    await begun.wait()
    waiting = [
        asyncio.ensure_future(caller.get("k", never_called, refresh=True)),
        asyncio.ensure_future(caller.put("k", b"v", ttl=10)),
    ]
    await asyncio.sleep(0.1)
    opened.set()
    with pytest.raises(ValueError, match="no row"):
        await call
    for one in waiting:
        with pytest.raises(RebuildFailedError, match="no row"):
            await one
    # One that comes after it does not wait for the back-off.
    assert await caller.get("k", gives(b"new"), refresh=True) == b"new"
