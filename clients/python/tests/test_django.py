"""The cache backend of Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import CacheHandler
from fake_service import FakeService, hit, lease

import dibs.django
from dibs import JSON, ServiceError
from dibs.testing import AsyncMemoryClient, MemoryClient

settings.configure()


def cache_of(location: str = "", **params: Any) -> Any:
    return CacheHandler({"default": {"BACKEND": "dibs.django.DibsCache", "LOCATION": location, **params}})["default"]


@pytest.fixture(autouse=True)
def clients() -> Iterator[None]:
    """Those of each test are its own."""
    dibs.django._CLIENTS.clear()
    yield
    for client, _ in dibs.django._CLIENTS.values():
        client.close()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(dibs.django, "Client", MemoryClient)
    monkeypatch.setattr(dibs.django, "AsyncClient", AsyncMemoryClient)
    return cache_of()


def test_keeps_any_value_that_python_can_pickle(cache: Any) -> None:
    for value in ({"a": {1, 2}}, 7, "text", b"bytes", None):
        cache.set("k", value)
        assert cache.get("k", "default") == value
        assert cache.has_key("k")
    assert cache.get("other", "default") == "default"
    assert "other" not in cache


def test_versions_and_prefixes_are_apart(cache: Any) -> None:
    cache.set("k", 1, version=1)
    cache.set("k", 2, version=2)
    assert (cache.get("k"), cache.get("k", version=2)) == (1, 2)


def test_times_are_those_of_django(cache: Any) -> None:
    cache.set("default", 1)
    cache.set("short", 1, 10)
    cache.set("for_ever", 1, None)
    cache.set("never", 1, 0)
    cache.set("never", 1, -1)
    cache._client.advance(11)
    assert [cache.has_key(key) for key in ("default", "short", "for_ever", "never")] == [True, False, True, False]
    cache._client.advance(300)
    assert [cache.has_key(key) for key in ("default", "for_ever")] == [False, True]
    assert cache.touch("for_ever", 10)
    assert not cache.touch("short", 10)
    cache._client.advance(11)
    assert not cache.has_key("for_ever")


def test_one_of_those_that_add_has_added(cache: Any) -> None:
    assert cache.add("k", 1)
    assert not cache.add("k", 2)
    assert cache.get("k") == 1
    assert not cache.add("k", 2, 0)
    assert cache.add("other", 2, 0)
    assert not cache.has_key("other")


def test_values_are_deleted(cache: Any) -> None:
    cache.set_many({"a": 1, "b": 2, "c": 3, "d": 4})
    assert cache.get_many(["a", "b", "x"]) == {"a": 1, "b": 2}
    assert cache.delete("a")
    assert not cache.delete("a")
    cache.delete_many(["b", "x"])
    assert list(cache.get_many("abcd")) == ["c", "d"]
    cache.clear()
    assert cache.get_many("abcd") == {}


def test_numbers_are_counted(cache: Any) -> None:
    cache.set("n", 1)
    assert (cache.incr("n", 2), cache.decr("n")) == (3, 2)


def test_get_or_set_calls_what_makes_it_once(cache: Any) -> None:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        return len(calls)

    assert [cache.get_or_set("k", make) for _ in range(3)] == [1, 1, 1]
    assert cache.get_or_set("other", 7) == 7
    assert [cache.get_or_set("never", make, 0) for _ in range(2)] == [2, 3]


async def test_so_does_aget_or_set(cache: Any) -> None:
    async def make() -> int:
        return 7

    assert await cache.aget_or_set("k", make) == 7
    assert await cache.aget_or_set("k", lambda: 8) == 7
    assert await cache.aget_or_set("other", 9) == 9
    await cache.aset("k", 1)
    assert await cache.aget("k") == 1


def test_get_or_set_takes_the_lease(fake: FakeService) -> None:
    fake.will("GetOrLock", lease("t"))
    options = {"stale_ttl": 20, "wait": 5, "namespace": "pages", "codec": JSON, "MAX_ENTRIES": 1}
    cache = cache_of(fake.target, OPTIONS=options, KEY_PREFIX="shop", TIMEOUT=30)
    assert cache.get_or_set("k", lambda: {"a": 1}) == {"a": 1}
    (published,) = fake.requests("Publish")
    assert (published.namespace, published.key, published.token) == ("pages", "shop:1:k", "t")
    assert (published.value, published.ttl_ms, published.stale_ms) == (b'{"a":1}', 30_000, 20_000)


def test_threads_share_one_client(fake: FakeService) -> None:
    assert cache_of(fake.target)._client is cache_of(fake.target)._client
    assert cache_of(fake.target)._client is not cache_of(fake.target, OPTIONS={"namespace": "other"})._client


def test_without_the_service_only_get_or_set_makes_values() -> None:
    cache = cache_of("127.0.0.1:9", OPTIONS={"connect": 0.3})
    assert cache.get_or_set("k", lambda: 7) == 7
    calls: list[Callable[[], Any]] = [
        lambda: cache.get("k"),
        lambda: cache.set("k", 1),
        lambda: cache.add("k", 1),
    ]
    for call in calls:
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            call()


def test_closing_at_the_end_of_a_request_keeps_the_connection(fake: FakeService) -> None:
    fake.will("GetOrLock", hit(b"1"))
    cache = cache_of(fake.target, OPTIONS={"codec": JSON})
    assert cache.get("k") == 1
    cache.close()
    assert cache.get("k") == 1


def test_touch_brings_no_old_value_back(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.set("k", "old")
    real = cache._client.get

    def get(*args: Any, **options: Any) -> Any:
        found = real(*args, **options)
        # Another process sets it, after this one has read it.
        cache.set("k", "new")
        return found

    monkeypatch.setattr(cache._client, "get", get)
    assert cache.touch("k", 60)
    monkeypatch.undo()
    assert cache.get("k") == "new"


def test_touch_keeps_any_value_and_stores_none_where_there_is_none(cache: Any) -> None:
    cache.set("nothing", None, 10)
    cache.set("k", {1, 2}, 10)
    assert cache.touch("nothing", 60)
    assert cache.touch("k", 60)
    assert not cache.touch("absent", 60)
    cache._client.advance(30)
    assert (cache.get("nothing", "default"), cache.get("k")) == (None, {1, 2})
    assert not cache.has_key("absent")
    assert cache.touch("k", 0)
    assert not cache.has_key("k")
