"""The state of one scenario's actor: its clients, its open calls, and the gates of its rebuilds."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from further_calls import base64_of, explain, get, put, values_of
from overhead import overhead
from raw_call import raw_call
from rebuild_script import Gates, follow, seconds

from dibs import BYTES, JSON, AsyncClient, AsyncRebuild, Hooks, NearCache, RebuildOptions, ServiceError, Value

Fields = dict[str, Any]
Emit = Callable[[Fields], None]

_TIMES = {
    "ttl_ms": "ttl",
    "stale_ms": "stale_ttl",
    "absent_ttl_ms": "absent_ttl",
    "wait_ms": "wait",
    "lease_ms": "lease",
}
_OF_CLIENT = (
    "target",
    "namespace",
    "holder",
    "on_unavailable",
    "token",
    "allow_insecure_token",
    "token_file",
    "tls_ca",
    "tls_cert",
    "tls_key",
)
_WORDS = (
    "tags",
    "namespace",
    "stale",
    "read",
    "refresh",
    "revalidate",
    "stale_if_error",
    "on_unavailable",
    "traceparent",
)


class Told(Hooks):
    """Reports every hook to the scenario."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def hit(self, namespace: str, key: str, freshness: str) -> None:
        self._tell("hit", key, freshness=freshness)

    def wait(self, namespace: str, key: str, waited: float, answered: bool) -> None:
        self._tell("wait", key)

    def publish(
        self, namespace: str, key: str, outcome: str, fence: int, *, counts: bool | None, maybe_stored: bool
    ) -> None:
        known = {} if counts is None else {"counts": counts}
        self._tell("publish", key, outcome=outcome, maybe_stored=maybe_stored, **known)

    def lease_lost(self, namespace: str, key: str) -> None:
        self._tell("lease_lost", key)

    def local_rebuild(self, namespace: str, key: str, cause: Exception) -> None:
        self._tell("local_rebuild", key)

    def undecodable(self, namespace: str, key: str, error: Exception) -> None:
        self._tell("undecodable", key)

    def not_storable(self, namespace: str, key: str, error: Exception) -> None:
        self._tell("not_storable", key)

    def background_error(self, namespace: str, key: str, error: Exception) -> None:
        self._tell("background_error", key)

    def _tell(self, name: str, key: str, **more: Any) -> None:
        self._emit({"event": "hook", "name": name, "key": key, **more})


class Actor:
    """Executes the commands. The scenario judges what it raises."""

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
            # A call that is unknown has ended, or was never made. There is nothing to leave.
            if (task := self._calls.get(fields["call"])) is not None:
                task.cancel()
        elif what == "get_or_rebuild":
            calling = self._get_or_rebuild(fields)
            if "deadline_ms" in fields:
                calling = asyncio.wait_for(calling, fields["deadline_ms"] / 1_000)
            return await self._leavable(fields, calling)
        elif what == "get_or_rebuild_many":
            calling = self._get_or_rebuild_many(fields)
            if "deadline_ms" in fields:
                calling = asyncio.wait_for(calling, fields["deadline_ms"] / 1_000)
            return await self._leavable(fields, calling)
        elif what in ("get", "set"):
            client, deadline_ms = self._clients[fields["client"]], fields.get("deadline_ms", 60_000)
            calling = get(client, fields) if what == "get" else put(client, fields)
            return await self._leavable(fields, asyncio.wait_for(calling, deadline_ms / 1_000))
        elif what == "explain":
            return await explain(self._clients[fields["client"]], fields)
        elif what == "call":
            stub, deadline_ms = self._clients[fields["client"]].stub, fields.get("deadline_ms", 30_000)
            return await self._leavable(
                fields, raw_call(stub, fields["method"], fields.get("request", {}), deadline_ms)
            )
        elif what == "invalidate":
            options = {name: fields[name] for name in ("tags", "all", "mode") if name in fields}
            done = await self._clients[fields["client"]].invalidate(fields.get("keys", ()), **options)
            return {"keys_invalidated": done.keys_invalidated, "leases_voided": done.leases_voided}
        elif what == "ready":
            return {"ready": await self._ready(fields)}
        elif what == "flush":
            return {"flushed": await self._clients[fields["client"]].flush(fields["timeout_ms"] / 1_000)}
        elif what == "show":
            client = self._clients[fields["client"]]
            return {"text": f"{client!r} {client} {vars(client)!r} {vars(client._link)!r}"}
        elif what == "bench":
            # Not the client of that name, whose hooks report every hit.
            async with AsyncClient(**self._opened[fields["client"]]) as client:
                return await overhead(client, fields["key"], fields["calls"], fields["in_flight"])
        else:
            raise ValueError(f"no such command: {what}")
        return {}

    def _open(self, fields: Fields) -> None:
        given: Fields = {name: fields[name] for name in _OF_CLIENT if name in fields}
        for ms, name in (("connect_ms", "connect"), ("lease_hold_max_ms", "lease_hold_max")):
            if ms in fields:
                given[name] = fields[ms] / 1_000
        given["session"] = fields.get("session", False)
        given["key_affinity"] = fields.get("key_affinity", False)
        if fields.get("near_cache"):
            given["near_cache"] = NearCache(max_bytes=64 * 1024 * 1024)
        given["serve_near_when_unavailable"] = fields.get("serve_near_when_unavailable", False)
        if "token_function" in fields:
            file = Path(fields["token_function"])
            given["token"] = lambda: file.read_text().strip()
        self._opened[fields["client"]] = given
        self._clients[fields["client"]] = AsyncClient(hooks=Told(self._emit), **given)

    async def _ready(self, fields: Fields) -> bool:
        try:
            await self._clients[fields["client"]].ready(fields["timeout_ms"] / 1_000)
        except ServiceError:
            return False
        return True

    async def _leavable(self, fields: Fields, calling: Coroutine[Any, Any, Fields]) -> Fields:
        task = asyncio.ensure_future(calling)
        if "call" in fields:
            self._calls[fields["call"]] = task
        return await task

    async def _get_or_rebuild(self, fields: Fields) -> Fields:
        value = await self._ask(self._clients[fields["client"]], fields["call"], fields)
        return {"value": base64_of(value)}

    async def _get_or_rebuild_many(self, fields: Fields) -> Fields:
        client, call, json = self._clients[fields["client"]], fields["call"], fields.get("codec") == "json"
        scripts: Any = fields["rebuild"] if isinstance(fields["rebuild"], list) else [fields["rebuild"]]
        times = itertools.count()

        async def rebuild(keys: list[str]) -> dict[str, Value[Any]]:
            self._emit({"event": "rebuild", "call": call, "keys": sorted(keys)})
            script = copy.deepcopy(scripts[min(next(times), len(scripts) - 1)])
            await follow(script, self._gates, lambda asked: self._ask(client, call, asked))
            return values_of(script, keys, json)

        codec: Any = JSON if json else BYTES
        values = await client.get_or_rebuild_many(fields["keys"], rebuild, codec=codec, **options_of(fields))
        return {"values": {key: base64_of(value) for key, value in values.items()}}

    async def _ask(self, client: AsyncClient, call: str, fields: Fields) -> bytes | None:
        """The value in bytes. Events of its rebuilds have the call's name."""
        json = fields.get("codec") == "json"
        scripts: Any = fields["rebuild"] if isinstance(fields["rebuild"], list) else [fields["rebuild"]]
        times = itertools.count()

        async def rebuild(context: AsyncRebuild[Any]) -> Value[Any]:
            script = copy.deepcopy(scripts[min(next(times), len(scripts) - 1)])
            previous = context.previous.encode() if json and context.previous is not None else context.previous
            before = {"previous": base64_of(previous)} if context.has_previous else {}
            self._emit({"event": "rebuild", "call": call, "reason": context.reason, "fence": context.fence, **before})
            watch = asyncio.create_task(self._watch(call, context.lost))
            try:
                made = await follow(script, self._gates, lambda asked: self._ask(client, call, asked))
            finally:
                # A loss that was reported just now is still passed on.
                if not context.lost.is_set():
                    watch.cancel()
            if json and made.value is not None:
                made.value = made.value.decode()  # type: ignore[assignment]
            return made

        codec: Any = JSON if json else BYTES
        value: Any = await client.get_or_rebuild(fields["key"], rebuild, codec=codec, **options_of(fields))
        data: bytes | None = value.encode() if json and value is not None else value
        return data

    async def _watch(self, call: str, lost: asyncio.Event) -> None:
        await lost.wait()
        self._emit({"event": "lost", "call": call})


def options_of(fields: Fields) -> RebuildOptions:
    """The options of a call, with this package's names."""
    times = {name: seconds(fields[ms]) for ms, name in _TIMES.items() if ms in fields}
    words = {name: fields[name] for name in _WORDS if name in fields}
    options: Any = {**times, **words}
    return cast(RebuildOptions, options)
