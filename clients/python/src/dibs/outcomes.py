"""What the service answered, in the words of this package."""

from __future__ import annotations

from typing import Any

from dibs.v1 import coordinator_pb2 as pb


def word(enum: Any, number: int) -> str:
    """The value's name in the contract, without its prefix and in small letters; `unspecified` if not known."""
    known: dict[int, str] = enum.DESCRIPTOR.values_by_number
    if number not in known:
        return "unspecified"
    # Every enum of the contract has its zero value called PREFIX_UNSPECIFIED.
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return str(enum.Name(number)).removeprefix(prefix).lower()


def payload(hit: pb.Hit) -> bytes | None:
    """The bytes that were published; None where the source is known to have nothing."""
    return hit.value if hit.WhichOneof("payload") == "value" else None


def freshness(hit: pb.Hit) -> str:
    """`fresh` or `stale`."""
    return "stale" if hit.freshness == pb.FRESHNESS_STALE else "fresh"
