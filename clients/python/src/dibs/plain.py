"""What JSON can carry, and how values are converted that it cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

#: Converts a value of another kind to JSON's own kinds; `NotImplemented` if it cannot. It also gets the path.
Convert = Callable[[Any, str], Any]

#: What to use instead, for common cases.
_INSTEAD: Mapping[type, str] = {
    set: "use a list",
    frozenset: "use a list",
    bytes: "use a string, such as base64, or codec=dibs.BYTES for the whole value",
    bytearray: "use a string, such as base64, or codec=dibs.BYTES for the whole value",
}


def encoded(value: Any, convert: Convert) -> bytes:
    """JSON in UTF-8. Raises TypeError or ValueError, with the path, for what JSON cannot carry."""
    return json.dumps(plain(value, convert), separators=(",", ":"), allow_nan=False).encode()


def plain(value: Any, convert: Convert) -> Any:
    """The value in JSON's own kinds. Raises like `encoded`."""
    try:
        return _plain(value, "value", convert)
    except RecursionError:
        raise ValueError("value: contains itself, or is nested too deeply for JSON") from None


def _plain(value: Any, place: str, convert: Convert) -> Any:
    converted = convert(value, place)
    if converted is not NotImplemented:
        return _plain(converted, place, convert)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        if not _is_text(value):
            raise ValueError(f"{place}: an unpaired surrogate is not text")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place}: JSON has no {value}")
        return value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or not _is_text(key):
                raise TypeError(f"{place}: JSON has no key {key!r}: use strings")
        return {key: _plain(its, f"{place}.{key}", convert) for key, its in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(its, f"{place}[{at}]", convert) for at, its in enumerate(value)]
    instead = _INSTEAD.get(type(value), "give codec=dibs.json_of(its type), or another codec")
    raise TypeError(f"{place}: JSON has no {type(value).__name__}: {instead}")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_it_is(value: Any, place: str) -> Any:
    """For values that are already JSON's own."""
    return NotImplemented


def by_type(value: Any, place: str) -> Any:
    """For values whose type the reader knows."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    if hasattr(value, "model_dump") and not isinstance(value, type):
        # A model of pydantic, or something like it.
        return value.model_dump(mode="json")
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    return NotImplemented
