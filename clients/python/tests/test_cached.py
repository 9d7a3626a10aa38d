"""Functions whose results are cached."""

from __future__ import annotations

import asyncio
import enum
import inspect
import pickle
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any
from uuid import UUID

import pytest

from dibs import AsyncCached, Cached
from dibs.testing import AsyncMemoryClient, MemoryClient

client = MemoryClient()


class Color(enum.Enum):
    RED = 1


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


@dataclass
class User:
    id: int
    born: date


@client.cached(ttl=60)
def named(id: int, *more: Any, lang: str = "en", **rest: Any) -> str:
    """Says it."""
    return f"{id} {more} {lang} {rest}"


class Shop:
    calls = 0

    @client.cached(key="price:{id}", ttl=60)
    def price(self, id: int) -> int:
        self.calls += 1
        return id * 100

    @client.cached(ttl=60)
    def stock(self, id: int) -> int:
        return id

    @staticmethod
    @client.cached(ttl=60)
    def tax(rate: float) -> float:
        return rate


class TestAFunction:
    def test_is_called_once_for_equal_arguments_until_it_is_invalidated_or_refreshed(self) -> None:
        calls: list[int] = []

        @client.cached(ttl=60)
        def user(id: int) -> User:
            calls.append(id)
            return User(id, date(2000, 1, len(calls)))

        assert user(1) == user(id=1) == User(1, date(2000, 1, 1))
        assert user(2) == User(2, date(2000, 1, 2))
        assert user.invalidate(1).keys_invalidated == 1
        assert user(1) == User(1, date(2000, 1, 3))
        assert user.refresh(1) == User(1, date(2000, 1, 4))
        assert user(1) == User(1, date(2000, 1, 4))
        assert calls == [1, 2, 1, 1]

    def test_has_a_key_for_each_flag_also_for_those_without_a_name(self) -> None:
        its = [Rights(0), Rights(8), Rights(16), Rights.READ, Rights.READ | Rights.WRITE, Rights.READ | Rights(8)]
        assert len({named.key(1, lang=right) for right in its}) == len(its)  # type: ignore[arg-type]

    def test_may_have_its_namespace(self) -> None:
        @client.cached(key="k", ttl=60, namespace="own")
        def own() -> int:
            return 1

        own()
        assert client.invalidate(["k"]).keys_invalidated == 0
        assert own.invalidate().keys_invalidated == 1

    def test_looks_as_before(self) -> None:
        assert (named.__name__, named.__doc__, named.__module__) == ("named", "Says it.", __name__)
        assert list(inspect.signature(named).parameters) == ["id", "more", "lang", "rest"]
        assert pickle.loads(pickle.dumps(named)) is named
        assert isinstance(named, Cached)

    async def test_may_be_async(self) -> None:
        async with AsyncMemoryClient() as its:
            calls: list[int] = []

            class Users:
                @its.cached(key="user:{id}", ttl=60)
                async def get(self, id: int) -> User:
                    calls.append(id)
                    return User(id, date(2000, 1, len(calls)))

            users = Users()
            # The deprecated one is what frameworks ask before Python 3.12.
            assert inspect.iscoroutinefunction(users.get) or asyncio.iscoroutinefunction(users.get)
            assert isinstance(users.get, AsyncCached)
            assert await users.get(1) == await users.get(id=1) == User(1, date(2000, 1, 1))
            assert (await users.get.invalidate(1)).keys_invalidated == 1
            assert await users.get.refresh(1) == User(1, date(2000, 1, 2))
            assert calls == [1, 1]


class TestAMethod:
    def test_is_called_on_its_object(self) -> None:
        shop = Shop()
        assert shop.price(7) == shop.price(7) == 700
        assert shop.calls == 1
        shop.price.invalidate(7)
        assert Shop.price(shop, 7) == 700
        assert shop.price.refresh(7) == 700
        assert shop.calls == 3
        assert shop.price.key(7) == Shop.price.key(shop, 7) == "price:7"

    def test_needs_a_key_for_its_object_is_no_part_of_one(self) -> None:
        message = r"test_cached\.Shop\.stock: a key cannot be made of self, a Shop; give key="
        with pytest.raises(TypeError, match=message):
            Shop().stock(7)
        assert Shop.tax(0.5) == 0.5


class TestTheDefaultKey:
    def test_is_the_functions_name_and_its_arguments(self) -> None:
        assert named.key(7) == "test_cached.named(id=7,more=(),lang='en',rest={})"
        assert named.key(id=7, lang="en") == named.key(7)
        assert named.key(7, "a", 1.5, b=2, a=None) == (
            "test_cached.named(id=7,more=('a',1.5),lang='en',rest={'a':None,'b':2})"
        )

    def test_differs_where_arguments_do(self) -> None:
        its: list[Any] = [
            1, 1.0, True, "1", b"1", None, (1,), [1], ("1",), Color.RED, UUID(int=1), date(2026, 1, 1),
            datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=timezone.utc), {"a": 1}, ("a,b",), ("a", "b"),
        ]  # fmt: skip
        assert len({named.key(one) for one in its}) == len(its)

    @pytest.mark.parametrize("value", [object(), {1}, User(1, date(2000, 1, 1)), [object()], lambda: 1])
    def test_is_not_made_of_what_may_print_otherwise_elsewhere(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"a key cannot be made of id, a \w+; give key="):
            named(value)

    def test_stays_within_the_contracts_bound(self) -> None:
        longest = "x" * (1_024 - len(named.key(0)) + len("0") - len("''"))
        assert len(named.key(longest)) == 1_024  # type: ignore[arg-type]
        assert longest in named.key(longest)  # type: ignore[arg-type]
        longer, other = named.key(longest + "ä"), named.key(longest + "ö")  # type: ignore[arg-type]
        assert longer != other
        assert len(longer.encode()) <= 1_024
