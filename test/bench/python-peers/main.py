"""The Python client and dogpile.cache, for the bench `clients`.

Each line on standard input is a command, and each line on standard output its result, as in `go-peers`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from time import perf_counter, process_time, sleep
from typing import Any

from dibs import BYTES, Client, NearCache
from dogpile.cache import make_region

VALUE = b"x" * 100
TTL_S = 3_600
WAIT_S = 60.0
#: As in redsync. Without a bound, dogpile.cache would keep a killed holder's lock forever.
LOCK_S = 8
WARM_UP_CALLS = 1_000
CONNECTIONS_MAX = 1_000
STACK_BYTES = 512 * 1_024

#: One way to get a value: from the cache, or by a rebuild.
Way = Callable[[str, Callable[[], bytes]], Any]


def by_dibs(client: Client) -> Way:
    return lambda key, rebuild: client.get_or_rebuild(key, lambda _: rebuild(), ttl=TTL_S, wait=WAIT_S, codec=BYTES)


def by_dogpile_in_memory() -> Way:
    region = make_region().configure("dogpile.cache.memory", expiration_time=TTL_S)
    return region.get_or_create


def by_dogpile(store: str) -> Way:
    """Set up as its documentation says for several processes."""
    host, _, port = store.rpartition(":")
    region = make_region().configure(
        "dogpile.cache.redis",
        expiration_time=TTL_S,
        arguments={
            "host": host,
            "port": int(port),
            "redis_expiration_time": 2 * TTL_S,
            "distributed_lock": True,
            "thread_local_lock": False,
            "lock_timeout": LOCK_S,
            # Without this, redis-py refuses the 101st thread.
            "connection_kwargs": {"max_connections": CONNECTIONS_MAX},
        },
    )
    return region.get_or_create


def in_threads(count: int, run: Callable[[], None]) -> None:
    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hits(way: Way, key: str, calls: int, in_flight: int) -> dict[str, float]:
    """Measures the wall time and this process's CPU time of a hit, in nanoseconds."""

    def some(count: int) -> None:
        for _ in range(count):
            if way(key, lambda: VALUE) != VALUE:
                raise AssertionError("another value")

    some(WARM_UP_CALLS)
    began, used = perf_counter(), process_time()
    if in_flight == 1:
        some(calls)
    else:
        in_threads(in_flight, lambda: some(calls // in_flight))
    return {
        "wallNs": (perf_counter() - began) * 1e9 / calls,
        "cpuNs": (process_time() - used) * 1e9 / calls,
    }


def stampede(way: Way, key: str, calls: int, rebuild_ms: float) -> dict[str, Any]:
    """Many callers request one key at once. The time begins when all their threads run."""
    began = 0.0
    took_ms: list[float] = []
    rebuilds = 0

    def begin() -> None:
        nonlocal began
        began = perf_counter()

    lock, gate = threading.Lock(), threading.Barrier(calls, begin)

    def rebuild() -> bytes:
        nonlocal rebuilds
        with lock:
            rebuilds += 1
        sleep(rebuild_ms / 1_000)
        return VALUE

    def one() -> None:
        gate.wait()
        way(key, rebuild)
        took = (perf_counter() - began) * 1_000
        with lock:
            took_ms.append(took)

    in_threads(calls, one)
    return {"tookMs": took_ms, "rebuilds": rebuilds}


def hold(way: Way, key: str) -> dict[str, Any]:
    """Holds the lease until this process is killed."""
    held = threading.Event()

    def rebuild() -> bytes:
        held.set()
        threading.Event().wait()
        return VALUE

    threading.Thread(target=way, args=(key, rebuild), daemon=True).start()
    held.wait()
    return {"holds": True}


def end(error: threading.ExceptHookArgs) -> None:
    """A failed call fails the bench."""
    threading.__excepthook__(error)
    os._exit(1)


def main() -> None:
    threading.excepthook = end
    threading.stack_size(STACK_BYTES)
    targets, store = sys.argv[1:3]
    ways = {
        "near": by_dibs(Client(targets, near_cache=NearCache(10_000_000))),
        "session": by_dibs(Client(targets)),
        "memory": by_dogpile_in_memory(),
        "dogpile": by_dogpile(store),
    }
    for line in sys.stdin:
        asked = json.loads(line)
        way, key, what = ways[asked["way"]], asked["key"], asked["do"]
        if what == "hits":
            answer = hits(way, key, asked["calls"], asked["inFlight"])
        elif what == "hold":
            answer = hold(way, key)
        else:
            answer = stampede(way, key, asked["calls"], asked["rebuildMs"])
        print(json.dumps(answer), flush=True)


main()
