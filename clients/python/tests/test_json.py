"""What JSON carries, what it refuses before anything is stored, and JSON of a type."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, TypedDict
from uuid import UUID

import pytest
from callers import Caller, gives
from fake_service import FakeService, lease
from pydantic import BaseModel

from dibs import JSON, Value, json_of
from dibs.typed_json import json_returned_by

CYCLE: list[Any] = []
CYCLE.append(CYCLE)


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    L = 3


@dataclass
class Item:
    name: str
    price: float = 0.0
    added: datetime | None = None


@dataclass
class Tree:
    items: list[Item]
    below: list[Tree] = field(default_factory=list)
    size: int = field(default=0, init=False)


class Model(BaseModel):
    id: int
    at: datetime
    data: bytes = b""


class Typed(TypedDict):
    name: str


UserId = NewType("UserId", int)


class TestWhatJsonCannotCarry:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (float("nan"), "value: JSON has no nan"),
            ({"a": [1, float("inf")]}, r"value\.a\[1\]: JSON has no inf"),
            ({"a": {"b": {1, 2}}}, r"value\.a\.b: JSON has no set: use a list"),
            ({"a": b"x"}, r"value\.a: JSON has no bytes: use a string, such as base64, or codec=dibs\.BYTES"),
            ({"a": {1: "x"}}, r"value\.a: JSON has no key 1: use strings"),
            ([datetime(2026, 1, 1)], r"value\[0\]: JSON has no datetime: give codec=dibs\.json_of\(its type\)"),
            (Item("a"), r"value: JSON has no Item: give codec=dibs\.json_of\(its type\)"),
            ({"a": "\ud800"}, r"value\.a: an unpaired surrogate is not text"),
            ({"\ud800": 1}, r"value: JSON has no key '\\ud800'"),
            (CYCLE, r"value: contains itself, or is nested too deeply"),
        ],
    )
    async def test_is_told_with_its_place_before_anything_is_stored(
        self, fake: FakeService, caller: Caller, value: Any, message: str
    ) -> None:
        fake.will("GetOrLock", lease())
        with pytest.raises((TypeError, ValueError), match=message):
            await caller.get("k", gives(value), codec=JSON)
        assert fake.requests("Publish") == []
        assert len(fake.requests("Release")) == 1

    @pytest.mark.parametrize("value", [{"a": [1, 2.5, "ä", True, None]}, [], "", 0, {}, Size.L, 10**400])
    def test_all_else_comes_back(self, value: Any) -> None:
        assert JSON.decode(JSON.encode(value)) == value

    def test_in_the_words_that_other_languages_write(self) -> None:
        assert JSON.encode({"id": 42, "name": "Ada"}) == b'{"id":42,"name":"Ada"}'


class TestJsonOf:
    @pytest.mark.parametrize(
        ("kind", "value", "data"),
        [
            (Item, Item("a", 1.5, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)), None),
            (Tree, Tree([Item("a")], [Tree([])]), None),
            (list[Item], [Item("a"), Item("b")], None),
            (dict[str, Item | None], {"a": Item("a"), "b": None}, None),
            (tuple[int, str], (1, "a"), b'[1,"a"]'),
            (tuple[int, ...], (1, 2, 3), b"[1,2,3]"),
            (Color, Color.RED, b'"red"'),
            (Size, Size.L, b"3"),
            (datetime, datetime(2026, 1, 2, 3, 4, 5), b'"2026-01-02T03:04:05"'),
            (date, date(2026, 1, 2), b'"2026-01-02"'),
            (time, time(3, 4), b'"03:04:00"'),
            (timedelta, timedelta(milliseconds=1_500), b"1.5"),
            (UUID, UUID(int=7), b'"00000000-0000-0000-0000-000000000007"'),
            (Decimal, Decimal("1.10"), b'"1.10"'),
            (Literal["a", "b"], "a", b'"a"'),
            (int | str | None, 7, b"7"),
            (float, 1, b"1"),
            (Annotated[int, "any"], 7, b"7"),
            (UserId, 7, b"7"),
            (Any, {"a": [1]}, b'{"a":[1]}'),
            (Typed, {"name": "a"}, b'{"name":"a"}'),
            (Model, Model(id=1, at=datetime(2026, 1, 2)), b'{"id":1,"at":"2026-01-02T00:00:00","data":""}'),
            (list[Model], [Model(id=1, at=datetime(2026, 1, 2))], None),
        ],
    )
    def test_values_come_back_as_they_were(self, kind: Any, value: Any, data: bytes | None) -> None:
        codec = json_of(kind)
        encoded = codec.encode(value)
        assert data is None or encoded == data
        assert codec.decode(encoded) == value

    def test_times_of_other_languages_are_read(self) -> None:
        read = json_of(datetime).decode(b'"2026-01-02T03:04:05.678Z"')
        assert read == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)

    def test_fields_of_another_version_are_left_out_or_have_their_defaults(self) -> None:
        assert json_of(Item).decode(b'{"name":"a","weight":7}') == Item("a")

    @pytest.mark.parametrize(
        ("kind", "data", "message"),
        [
            (Item, b"[]", r"value: \[\] is not of type Item"),
            (Item, b"{}", r"value: {} is not of type Item"),
            (list[Item], b'[{"name":7}]', r"value\[0\]\.name: 7 is not of type str"),
            (Item, b'{"name":"a","added":"never"}', r"value\.added: 'never' is not of type datetime"),
            (int, b"true", "value: True is not of type int"),
            (int, b"1.5", "value: 1.5 is not of type int"),
            (Color, b'"blue"', "value: 'blue' is not of type Color"),
            (Typed, b"{}", "value: {} is not of type Typed"),
            (tuple[int, str], b"[1]", r"value: \[1\] is not of type tuple"),
            (Literal["a"], b'"b"', "value: 'b' is no"),
            (Model, b'{"id":"x"}', "value: .* is not of type Model"),
            (Decimal, b'"x"', "value: 'x' is not of type Decimal"),
        ],
    )
    def test_data_of_another_type_are_refused_with_the_place(self, kind: Any, data: bytes, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            json_of(kind).decode(data)

    @pytest.mark.parametrize(
        ("kind", "value", "message"),
        [
            (Item, Item("a", float("nan")), r"value\.price: JSON has no nan"),
            (list[Item], [Item(7)], r"value\[0\]\.name: 7 is not of type str"),  # type: ignore[arg-type]
            (Any, {"a": {1}}, r"value\.a: JSON has no set"),
        ],
    )
    def test_values_that_could_not_be_read_are_not_stored(self, kind: Any, value: Any, message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            json_of(kind).encode(value)

    @pytest.mark.parametrize("kind", [set[int], bytes, Item | Tree, object(), dict[int, str], complex])
    def test_types_that_it_does_not_know_are_refused(self, kind: Any) -> None:
        with pytest.raises(TypeError, match=r"json_of: .*set your own codec"):
            json_of(kind)


class TestTheTypeThatAFunctionReturns:
    def test_is_read_from_what_it_says(self) -> None:
        def plain() -> dict[str, list[int | None]]: ...  # type: ignore[empty-body]
        def unsaid():  # type: ignore[no-untyped-def]
            ...

        def unknown() -> Nowhere: ...  # type: ignore[name-defined] # noqa: F821
        def odd() -> set[int]: ...  # type: ignore[empty-body]
        def item() -> Item | None: ...
        def own() -> Value[Item]: ...  # type: ignore[empty-body]
        async def later() -> list[Item]: ...  # type: ignore[empty-body]

        assert [json_returned_by(fn) for fn in (plain, unsaid, unknown, odd)] == [JSON] * 4
        assert json_returned_by(item).decode(b'{"name":"a"}') == Item("a")
        assert json_returned_by(own).decode(b'{"name":"a"}') == Item("a")
        assert json_returned_by(later).decode(b'[{"name":"a"}]') == [Item("a")]
