"""What one scenario's actor has: its clients, the calls that are open, and the gates of its rebuilds."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, cast

from overhead import overhead
from raw_call import raw_call
from rebuild_script import Gates, follow

from dibs import BYTES, AsyncClient, AsyncRebuild, Hooks, RebuildOptions

Fields = dict[str, Any]
Emit = Callable[[Fields], None]

_TIMES = {
    "ttl_ms": "ttl",
    "stale_ms": "stale_ttl",
    "absent_ttl_ms": "absent_ttl",
    "wait_ms": "wait",
    "lease_ms": "lease",
}
_OF_CLIENT = ("target", "namespace", "holder", "token", "on_unavailable")
_WORDS = ("tags", "namespace", "stale", "read", "refresh", "revalidate", "on_unavailable", "traceparent")


class Told(Hooks):
    """Tells the scenario of every hook."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def hit(self, namespace: str, key: str, freshness: str) -> None:
        self._tell("hit", key)

    def wait(self, namespace: str, key: str, waited: float, answered: bool) -> None:
        self._tell("wait", key)

    def publish(self, namespace: str, key: str, outcome: str, fence: int, maybe_stored: bool) -> None:
        self._tell("publish", key, outcome=outcome)

    def lease_lost(self, namespace: str, key: str) -> None:
        self._tell("lease_lost", key)

    def local_rebuild(self, namespace: str, key: str, cause: Exception) -> None:
        self._tell("local_rebuild", key)

    def background_error(self, namespace: str, key: str, error: Exception) -> None:
        self._tell("background_error", key)

    def _tell(self, name: str, key: str, **more: str) -> None:
        self._emit({"event": "hook", "name": name, "key": key, **more})


class Actor:
    """Does the commands. What it raises is for the scenario to judge."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._clients: dict[str, AsyncClient] = {}
        self._opened: dict[str, Fields] = {}
        self._calls: dict[str, asyncio.Task[Fields]] = {}
        self._gates: Gates = defaultdict(asyncio.Event)

    async def act(self, what: str, fields: Fields) -> Fields:
        """The result of one command."""
        if what == "open":
            self._open(fields)
        elif what == "close":
            await self._clients[fields["client"]].close()
        elif what == "let":
            self._gates[fields["gate"]].set()
        elif what == "cancel":
            # One that is not known has ended, or was never made: there is nobody to leave.
            if (task := self._calls.get(fields["call"])) is not None:
                task.cancel()
        elif what == "get_or_rebuild":
            calling = self._get_or_rebuild(fields)
            if "deadline_ms" in fields:
                calling = asyncio.wait_for(calling, fields["deadline_ms"] / 1_000)
            return await self._leavable(fields, calling)
        elif what == "call":
            stub, deadline_ms = self._clients[fields["client"]].stub, fields.get("deadline_ms", 30_000)
            return await self._leavable(
                fields, raw_call(stub, fields["method"], fields.get("request", {}), deadline_ms)
            )
        elif what == "bench":
            # Not the client of that name, whose hooks tell of every hit.
            async with AsyncClient(**self._opened[fields["client"]]) as client:
                return await overhead(client, fields["key"], fields["calls"], fields["in_flight"])
        else:
            raise ValueError(f"no such command: {what}")
        return {}

    def _open(self, fields: Fields) -> None:
        given = {name: fields[name] for name in _OF_CLIENT if name in fields}
        if "connect_ms" in fields:
            given["connect"] = fields["connect_ms"] / 1_000
        self._opened[fields["client"]] = given
        self._clients[fields["client"]] = AsyncClient(hooks=Told(self._emit), **given)

    async def _leavable(self, fields: Fields, calling: Coroutine[Any, Any, Fields]) -> Fields:
        task = asyncio.ensure_future(calling)
        if "call" in fields:
            self._calls[fields["call"]] = task
        return await task

    async def _get_or_rebuild(self, fields: Fields) -> Fields:
        call, script = fields["call"], fields["rebuild"]

        async def rebuild(context: AsyncRebuild[bytes]) -> bytes | None:
            before = {"previous": base64_of(context.previous)} if context.has_previous else {}
            self._emit({"event": "rebuild", "call": call, "reason": context.reason, "fence": context.fence, **before})
            watch = asyncio.create_task(self._watch(call, context.lost))
            try:
                return await follow(script, self._gates, context.lost)
            finally:
                # A loss that was told just now is still passed on.
                if not context.lost.is_set():
                    watch.cancel()

        client = self._clients[fields["client"]]
        value = await client.get_or_rebuild(fields["key"], rebuild, codec=BYTES, **options_of(fields))
        return {"value": base64_of(value)}

    async def _watch(self, call: str, lost: asyncio.Event) -> None:
        await lost.wait()
        self._emit({"event": "lost", "call": call})


def options_of(fields: Fields) -> RebuildOptions:
    """The options of a call, in this package's words."""
    times = {name: fields[ms] / 1_000 for ms, name in _TIMES.items() if ms in fields}
    words = {name: fields[name] for name in _WORDS if name in fields}
    options: Any = {**times, **words}
    return cast(RebuildOptions, options)


def base64_of(value: bytes | None) -> str | None:
    """As values travel in the protocol."""
    return None if value is None else base64.b64encode(value).decode()
