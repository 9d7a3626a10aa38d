"""The service's answers, in the names of this package."""

from __future__ import annotations

from typing import Any

from dibs.v1 import coordinator_pb2 as pb


def word(enum: Any, number: int) -> str:
    """The value's name in the contract, without its prefix and in lower case; `unspecified` if unknown."""
    known: dict[int, str] = enum.DESCRIPTOR.values_by_number
    if number not in known:
        return "unspecified"
    # In the contract, the zero value of every enum is PREFIX_UNSPECIFIED.
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return str(enum.Name(number)).removeprefix(prefix).lower()


def payload(hit: pb.Hit) -> bytes | None:
    """The published bytes; None if the source is known to have nothing."""
    return hit.value if hit.WhichOneof("payload") == "value" else None


def freshness(hit: pb.Hit) -> str:
    """`fresh` or `stale`."""
    return "stale" if hit.freshness == pb.FRESHNESS_STALE else "fresh"
