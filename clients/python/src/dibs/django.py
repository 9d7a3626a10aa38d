"""A cache backend of Django 5.2: `BACKEND = "dibs.django.DibsCache"`, with the target as `LOCATION`.

Only `get_or_set` and `aget_or_set` take the lease, so that one process in the fleet makes the value. A `get` that is
followed by a `set` cannot do that. `set` writes through. `OPTIONS` are those of `dibs.Client`, and for `get_or_set`
also `stale_ttl`, `wait` and `lease`. Values are pickled, unless `OPTIONS` has a `codec`.
"""

from __future__ import annotations

import inspect
import pickle
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from dibs.async_client import AsyncClient
from dibs.client import Client
from dibs.rebuild_context import Rebuild
from dibs.values import Value

#: The contract's longest time. Django's None means forever.
_FOR_EVER_S = 31_536_000.0
_OF_CALLS = ("stale_ttl", "wait", "lease")
#: Options of Django's own backends, which a service does not need.
_OF_DJANGO = ("MAX_ENTRIES", "CULL_FREQUENCY")


class _Pickle:
    def encode(self, value: Any, /) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, data: bytes, /) -> Any:
        return pickle.loads(data)


_PICKLE = _Pickle()
#: Django makes a backend for each thread. The clients belong to the process.
_CLIENTS: dict[str, tuple[Client, AsyncClient]] = {}
_LOCK = threading.Lock()


def _clients_of(target: str | None, options: Mapping[str, Any]) -> tuple[Client, AsyncClient]:
    its = repr((target, sorted(options.items())))
    with _LOCK:
        if its not in _CLIENTS:
            _CLIENTS[its] = Client(target, **options), AsyncClient(target, **options)
        return _CLIENTS[its]


class DibsCache(BaseCache):
    """Raises ServiceError if the service cannot be reached, except in `get_or_set` and `aget_or_set`."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = {name: its for name, its in params.get("OPTIONS", {}).items() if name not in _OF_DJANGO}
        self._of_calls = {name: options.pop(name) for name in _OF_CALLS if name in options}
        self._codec = options.pop("codec", _PICKLE)
        self._client, self._async_client = _clients_of(location or None, options)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return self._client.get(self.make_and_validate_key(key, version), default, codec=self._codec)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        ttl = self._ttl(timeout)
        if ttl <= 0:
            self.delete(key, version)
            return
        self._client.set(self.make_and_validate_key(key, version), value, ttl=ttl, codec=self._codec)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        ttl, added = self._ttl(timeout), []
        if ttl <= 0:
            return not self.has_key(key, version)

        def make() -> Any:
            added.append(True)
            return value

        its = self.make_and_validate_key(key, version)
        # By the lease: of several callers that add at the same time, one succeeds.
        self._client.get_or_rebuild(its, make, ttl=ttl, codec=self._codec, stale="forbid", on_unavailable="fail")
        return bool(added)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        ttl, touched = self._ttl(timeout), False
        if not self.has_key(key, version):
            return False
        if ttl <= 0:
            self.delete(key, version)
            return True

        def same(rebuild: Rebuild[Any]) -> Any:
            nonlocal touched
            touched = rebuild.has_previous
            return rebuild.previous if touched else Value(None, store=False)

        its = self.make_and_validate_key(key, version)
        # By the lease, whose previous value is the newest. One that was read before it could replace a newer one.
        self._client.get_or_rebuild(its, same, ttl=ttl, codec=self._codec, refresh=True, on_unavailable="fail")
        return touched

    def delete(self, key: Any, version: Any = None) -> bool:
        return self._client.invalidate([self.make_and_validate_key(key, version)]).keys_invalidated > 0

    def delete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        self._client.invalidate([self.make_and_validate_key(key, version) for key in keys])

    def clear(self) -> None:
        """Clears the whole namespace, including what others have cached in it."""
        self._client.invalidate(all=True)

    def get_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        """One caller in the fleet calls `default`. All others get its value, or a stale one."""
        ttl, make = self._ttl(timeout), default if callable(default) else lambda: default
        if ttl <= 0:
            value = self.get(key, self._missing_key, version)
            return make() if value is self._missing_key else value
        its = self.make_and_validate_key(key, version)
        return self._client.get_or_rebuild(its, lambda: make(), ttl=ttl, codec=self._codec, **self._of_calls)

    async def aget_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        """The same. `default` may be an async function too."""
        ttl = self._ttl(timeout)

        async def make() -> Any:
            made = default() if callable(default) else default
            return await made if inspect.isawaitable(made) else made

        if ttl <= 0:
            value = await self.aget(key, self._missing_key, version)
            return await make() if value is self._missing_key else value
        its = self.make_and_validate_key(key, version)
        return await self._async_client.get_or_rebuild(its, make, ttl=ttl, codec=self._codec, **self._of_calls)

    def _ttl(self, timeout: Any) -> float:
        """In seconds; 0 or less means not to store."""
        its = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return _FOR_EVER_S if its is None else min(float(its), _FOR_EVER_S)
