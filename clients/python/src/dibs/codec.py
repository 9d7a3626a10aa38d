"""How values become bytes and come back."""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar

from dibs.plain import as_it_is, encoded

T_co = TypeVar("T_co", covariant=True)


class Codec(Protocol[T_co]):
    """Makes bytes of a value, and the value of its bytes. None never comes here: it travels as "absent".

    What `encode` raises counts as the rebuild's own error. A value that `decode` cannot read is rebuilt once; if it
    still cannot read it, the caller gets an UndecodableError.
    """

    def encode(self, value: Any, /) -> bytes: ...

    def decode(self, data: bytes, /) -> T_co: ...


class _Json:
    """Raises TypeError or ValueError, with the place, for what JSON does not have, such as NaN, sets and bytes."""

    def encode(self, value: Any, /) -> bytes:
        return encoded(value, as_it_is)

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data)


class _Bytes:
    """Raises TypeError for what is not bytes."""

    def encode(self, value: bytes, /) -> bytes:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        kind = type(value).__name__
        raise TypeError(f"the rebuild returned {kind}: return bytes, or None for nothing, or give another codec")

    def decode(self, data: bytes, /) -> bytes:
        return data


#: JSON in UTF-8, the default.
JSON: Codec[Any] = _Json()
#: Values that are bytes already.
BYTES: Codec[bytes] = _Bytes()
