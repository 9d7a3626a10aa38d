"""Encodes values as bytes and decodes them."""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar

from dibs.plain import as_it_is, encoded

T_co = TypeVar("T_co", covariant=True)


class Codec(Protocol[T_co]):
    """Encodes a value as bytes and decodes it. None never gets here: it is stored as "absent".

    An error of `encode` counts as the rebuild's own. A value that `decode` cannot read is rebuilt once. If it still
    cannot be read, the caller gets an UndecodableError.
    """

    def encode(self, value: Any, /) -> bytes: ...

    def decode(self, data: bytes, /) -> T_co: ...


class _Json:
    """Raises TypeError or ValueError, with the path, for what JSON does not have, such as NaN, sets and bytes."""

    def encode(self, value: Any, /) -> bytes:
        return encoded(value, as_it_is)

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data)


class _Bytes:
    """Raises TypeError for anything but bytes."""

    def encode(self, value: bytes, /) -> bytes:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        kind = type(value).__name__
        raise TypeError(f"the rebuild returned {kind}: return bytes, or None for nothing, or set another codec")

    def decode(self, data: bytes, /) -> bytes:
        return data


#: JSON in UTF-8, the default.
JSON: Codec[Any] = _Json()
#: For values that are bytes.
BYTES: Codec[bytes] = _Bytes()
