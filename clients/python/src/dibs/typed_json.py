"""JSON for values of a type: dataclasses, times, enums and the like, and models of pydantic."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, is_typeddict
from uuid import UUID

from dibs.codec import JSON, Codec
from dibs.plain import as_it_is, by_type, encoded, plain
from dibs.values import Value

T = TypeVar("T")
#: Makes a value from JSON's own kinds, at a path. Raises ValueError, with the path, if it is no such value.
Reader = Callable[[Any, str], Any]

_SCALARS: tuple[Any, ...] = (bool, int, float, str, type(None))
_LISTS = (list, Sequence)
_DICTS = (dict, Mapping)


class _TypedJson(Generic[T]):
    """Raises TypeError or ValueError for what JSON does not have, and for what is not of the type."""

    def __init__(self, read: Reader) -> None:
        self._read = read

    def encode(self, value: Any, /) -> bytes:
        data = plain(value, by_type)
        # Checked before it is stored: this process can read what it makes.
        self._read(data, "value")
        return encoded(data, as_it_is)

    def decode(self, data: bytes, /) -> T:
        return self._read(json.loads(data), "value")  # type: ignore[no-any-return]


@typing.overload
def json_of(kind: type[T]) -> Codec[T]: ...
@typing.overload
def json_of(kind: Any) -> Codec[Any]: ...
def json_of(kind: Any) -> Codec[Any]:
    """A codec for JSON of this type, such as `json_of(User)` or `json_of(list[User])`.

    Supports dataclasses, models of pydantic, `TypedDict`, enums, `datetime`, `date`, `time` (ISO 8601), `timedelta` (a
    number of seconds), `UUID`, `Decimal` (texts), lists, tuples, dicts with text keys, and `T | None`. Unknown fields
    of a dataclass are ignored. Data of another type is rebuilt once.

    Raises TypeError for any other type.
    """
    return _TypedJson(_reader(kind, {}))


def json_returned_by(fn: Callable[..., Any]) -> Codec[Any]:
    """The codec of a function's declared return type; plain JSON if that is enough."""
    try:
        kind = typing.get_type_hints(fn).get("return", Any)
        if get_origin(kind) is Value:
            (kind,) = get_args(kind)
        return JSON if _is_plain(kind) else json_of(kind)
    except (NameError, TypeError):
        # A type that only the type checker knows, or that only its author can resolve.
        return JSON


def _is_plain(kind: Any) -> bool:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any or kind in _SCALARS or kind is None or kind is object or is_typeddict(kind):
        return True
    if origin in (*_LISTS, *_DICTS, tuple, Union, types.UnionType):
        return all(arg is ... or _is_plain(arg) for arg in args)
    return kind in (*_LISTS, *_DICTS, tuple)


def _reader(kind: Any, known: dict[Any, Reader]) -> Reader:
    """`known`: the readers under construction, for a type that contains itself."""
    while True:
        if get_origin(kind) is typing.Annotated:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            break
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return lambda value, place: value
    if kind in _SCALARS or kind is None:
        return _scalar((type(None) if kind is None else kind,))
    if origin in (Union, types.UnionType):
        return _union(kind, args, known)
    if origin is Literal:
        return _one_of(kind, args)
    if kind in _LISTS or origin in _LISTS:
        return _list(_reader(args[0] if args else Any, known))
    if kind in _DICTS or (origin in _DICTS and args[0] is str):
        return _dict(_reader(args[1] if args else Any, known))
    if kind is tuple or origin is tuple:
        return _tuple(args or (Any, ...), known)
    if isinstance(kind, type):
        return _class(kind, known)
    raise TypeError(f"json_of: {kind!r} cannot be read from JSON: set your own codec")


def _class(kind: Any, known: dict[Any, Reader]) -> Reader:
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return _by(kind, *simple)
    if hasattr(kind, "model_validate_json"):
        return _by(kind, object, lambda value: kind.model_validate_json(json.dumps(value)))
    if issubclass(kind, Enum):
        return _by(kind, object, kind)
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        if kind not in known:
            readers: dict[str, Reader] = {}
            known[kind] = _fields(kind, readers)
            hints = typing.get_type_hints(kind)
            wanted = hints if is_typeddict(kind) else [f.name for f in dataclasses.fields(kind) if f.init]
            readers.update((name, _reader(hints[name], known)) for name in wanted)
        return known[kind]
    raise TypeError(f"json_of: {kind.__name__} cannot be read from JSON: set your own codec")


#: The form of each in JSON, and how it is made from that.
_SIMPLE: Mapping[Any, tuple[Any, Callable[[Any], Any]]] = {
    # Before Python 3.11 it does not know the letter that other languages write.
    datetime: (str, lambda text: datetime.fromisoformat(text.removesuffix("Z") + "+00:00" * text.endswith("Z"))),
    date: (str, date.fromisoformat),
    time: (str, time.fromisoformat),
    timedelta: ((int, float), lambda seconds: timedelta(seconds=seconds)),
    UUID: (str, UUID),
    Decimal: (str, Decimal),
}


def _wrong(value: Any, kind: Any, place: str) -> ValueError:
    shown = repr(value)
    return ValueError(f"{place}: {shown[:60]} is not of type {getattr(kind, '__name__', kind)}")


def _by(kind: Any, its: Any, make: Callable[[Any], Any]) -> Reader:
    def read(value: Any, place: str) -> Any:
        if not isinstance(value, its):
            raise _wrong(value, kind, place)
        try:
            return make(value)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise _wrong(value, kind, place) from error

    return read


def _scalar(kinds: tuple[type, ...]) -> Reader:
    def read(value: Any, place: str) -> Any:
        # A boolean is a number in Python, but not in JSON. A whole number may be written without its point.
        if type(value) in kinds:
            return value
        if float in kinds and type(value) is int:
            return float(value)
        raise _wrong(value, " or ".join(kind.__name__ for kind in kinds), place)

    return read


def _one_of(kind: Any, words: tuple[Any, ...]) -> Reader:
    def read(value: Any, place: str) -> Any:
        if value not in words:
            raise _wrong(value, kind, place)
        return value

    return read


def _union(kind: Any, args: tuple[Any, ...], known: dict[Any, Reader]) -> Reader:
    if all(arg in _SCALARS for arg in args):
        return _scalar(args)
    others = [arg for arg in args if arg is not type(None)]
    if len(others) > 1:
        raise TypeError(f"json_of: the JSON of a value does not say which of {kind} it is: set your own codec")
    read = _reader(others[0], known)
    return lambda value, place: None if value is None else read(value, place)


def _list(read: Reader) -> Reader:
    def read_all(value: Any, place: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(value, list, place)
        return [read(its, f"{place}[{at}]") for at, its in enumerate(value)]

    return read_all


def _dict(read: Reader) -> Reader:
    def read_all(value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(value, dict, place)
        return {key: read(its, f"{place}.{key}") for key, its in value.items()}

    return read_all


def _tuple(args: tuple[Any, ...], known: dict[Any, Reader]) -> Reader:
    if args[-1] is ...:
        read_list = _list(_reader(args[0], known))
        return lambda value, place: tuple(read_list(value, place))
    readers = [_reader(arg, known) for arg in args]

    def read_all(value: Any, place: str) -> Any:
        if not isinstance(value, list) or len(value) != len(readers):
            raise _wrong(value, tuple, place)
        return tuple(read(its, f"{place}[{at}]") for at, (read, its) in enumerate(zip(readers, value, strict=True)))

    return read_all


def _fields(kind: Any, readers: Mapping[str, Reader]) -> Reader:
    """Fields that the data has and the type has not belong to another version of the code."""

    def read_all(value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(value, kind, place)
        given = {name: read(value[name], f"{place}.{name}") for name, read in readers.items() if name in value}
        if is_typeddict(kind) and not kind.__required_keys__ <= given.keys():
            raise _wrong(value, kind, place)
        try:
            return kind(**given)
        except TypeError as error:
            raise _wrong(value, kind, place) from error

    return read_all
