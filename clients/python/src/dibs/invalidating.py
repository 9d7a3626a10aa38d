"""The client's own invalidation, as steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from dibs.errors import ServiceError
from dibs.options import TAG_BYTES_MAX, flag, keys_of, names, one_of
from dibs.steps import Call, Sleep, Steps
from dibs.v1 import coordinator_pb2 as pb

Mode = Literal["delete", "mark_stale"]

#: Long enough for a service that fails over, short enough that no caller hangs on it.
_INVALIDATE_S = 5.0
_MODES: Mapping[str | None, pb.InvalidateMode.ValueType] = {
    "delete": pb.INVALIDATE_MODE_DELETE,
    "mark_stale": pb.INVALIDATE_MODE_MARK_STALE,
}
#: The keys of one request. The contract allows 1000, which may take a busy value store too long.
_KEYS_MAX = 250
#: The contract's bound of one request.
_TAGS_MAX = 16


@dataclass(frozen=True)
class Invalidated:
    """The result of an invalidation."""

    #: How many of `keys` had a value. Values reached by tag or by `all` are not counted.
    keys_invalidated: int
    #: How many running leases of `keys` were voided.
    leases_voided: int


def invalidate_all(
    requests: list[pb.InvalidateRequest], traceparent: str, done: Callable[[pb.InvalidateRequest], None]
) -> Steps[Invalidated]:
    """One after another. Calls `done` for each, even if it fails, because it may have been done anyway."""
    keys_invalidated = leases_voided = 0
    for request in requests:
        try:
            response: pb.InvalidateResponse = yield from _until_invalidated(request, traceparent)
        finally:
            done(request)
        keys_invalidated += response.keys_invalidated
        leases_voided += response.leases_voided
    return Invalidated(keys_invalidated, leases_voided)


def _until_invalidated(request: pb.InvalidateRequest, traceparent: str) -> Steps[pb.InvalidateResponse]:
    """Safe to repeat: if a replica breaks off, another one may answer, and a late store may be back."""
    until, broken_off = monotonic() + _INVALIDATE_S, False
    while True:
        left = max(0.001, until - monotonic())
        try:
            return (yield Call("Invalidate", request, left, traceparent))  # type: ignore[no-any-return]
        except ServiceError as error:
            at = monotonic() + (error.retry_after or 0.0)
            again = error.code == "UNAVAILABLE" and at < until and not (error.unreachable and broken_off)
            if not again:
                raise
            broken_off = error.unreachable
        yield Sleep(at)


def invalidations(
    namespace: str, given_keys: Sequence[str], given_tags: Sequence[str], everything: bool, given_mode: Mode
) -> list[pb.InvalidateRequest]:
    """The requests for it, each within the contract's bounds; none if it names nothing.

    Raises InvalidOptionError, ValueError or TypeError for what no request can carry.
    """
    keys, tags = keys_of(given_keys), names("tags", given_tags, 1, TAG_BYTES_MAX)
    mode = one_of("mode", given_mode, _MODES)
    if flag("all", everything):
        return [pb.InvalidateRequest(namespace=namespace, keys=keys, tags=tags, all=True, mode=mode)]
    count = max(-(-len(keys) // _KEYS_MAX), -(-len(tags) // _TAGS_MAX))
    return [
        pb.InvalidateRequest(
            namespace=namespace,
            keys=keys[at * _KEYS_MAX : (at + 1) * _KEYS_MAX],
            tags=tags[at * _TAGS_MAX : (at + 1) * _TAGS_MAX],
            mode=mode,
        )
        for at in range(count)
    ]
