"""The running rebuilds of this process, for callers that come in the meantime."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from dibs.errors import BusyError
from dibs.options import Terms
from dibs.v1 import coordinator_pb2 as pb

#: A refresh and an early refresh run while the service still serves a value.
_BESIDE_A_VALUE = (pb.LEASE_REASON_REFRESH, pb.LEASE_REASON_EARLY_REFRESH)
#: How many losses are remembered whose rebuild has not begun here.
LOST_KEPT_MAX = 1_000
#: When to retry after a rebuild of this process outlasted the wait.
_RETRY_AFTER_S = 1.0


def wait_ended(began_at: float) -> BusyError:
    """For a caller whose wait ended during a rebuild of its own process, which began then."""
    return BusyError("wait_ended", _RETRY_AFTER_S, monotonic() - began_at)


@dataclass(frozen=True)
class Answer:
    """The result of a call: bytes, or None if the source has nothing, and the fence of the value; 0 if unknown."""

    data: bytes | None
    fence: int = 0


@dataclass(frozen=True)
class Ended:
    """The result of a rebuild for callers that came after its lease. With neither, they ask the service again."""

    answer: Answer | None = None
    error: Exception | None = None


class Rebuilding:
    """One rebuild that runs here. Callers that came after its lease may join it while it is open."""

    def __init__(self, terms: Terms, lease: pb.Lease | None) -> None:
        self.began_at = monotonic()
        #: Set once, with the result for the callers that joined late.
        self.ended: Future[Ended] = Future()
        self.local = lease is None
        self.token = "" if lease is None else lease.token
        #: The service has said that the lease is gone.
        self.lost = False
        #: Tells the rebuild so. Set by its driver, who then reads `lost`.
        self.void: Callable[[], None] = lambda: None
        #: Called when the last caller that had joined late has left before the end.
        self.deserted: Callable[[], None] = lambda: None
        self.joined = 0
        self._lock = threading.Lock()
        self._open = True
        self._stale = terms.stale
        self._has_previous = lease is not None and lease.HasField("previous")
        self._beside_a_value = lease is not None and lease.reason in _BESIDE_A_VALUE

    @property
    def open(self) -> bool:
        """Whether nothing has happened that a new caller must not miss."""
        return self._open

    def joinable_by(self, terms: Terms) -> bool:
        """Whether a new caller may share the result, instead of asking the service."""
        if not self._open or self._beside_a_value:
            return False
        if self.local or terms.stale == pb.STALE_FORBID:
            return True
        # The service would serve a stale value at once. If the holder did not accept one, there may be one too.
        return not self._has_previous and self._stale in (pb.STALE_ALLOW, terms.stale)

    def new_enough_for(self, terms: Terms) -> bool:
        """Whether it began after the call, if that needs something newer. The request for a lease may be older."""
        return terms.shares or (self.local and self.began_at > terms.began_at)

    def lose(self) -> None:
        """The service says that the lease is gone."""
        self.lost = True
        self.void()

    def close(self) -> None:
        """New callers ask the service. Those that have joined continue to wait."""
        self._open = False

    def end(self, ended: Ended) -> None:
        """Only the first result counts."""
        self.close()
        with suppress(InvalidStateError):
            self.ended.set_result(ended)

    def join(self) -> None:
        with self._lock:
            self.joined += 1

    def leave(self) -> None:
        with self._lock:
            self.joined -= 1
            last = self.joined == 0
        if last and not self.ended.done():
            self.deserted()


@dataclass(frozen=True)
class Invalidation:
    """What an invalidation may have reached: one of this client, or one that a session reports."""

    namespace: str
    keys: frozenset[str]
    #: By tags, or as a whole: any key.
    any_key: bool

    def reaches(self, id_: tuple[str, str]) -> bool:
        return id_[0] == (self.namespace or "default") and (self.any_key or id_[1] in self.keys)


class Rebuilds:
    """All rebuilds of one client, by namespace and key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], Rebuilding] = {}
        #: Tokens, the oldest first. A lease and its loss may come at once, before its caller's thread or loop goes on.
        self._lost_before: dict[str, None] = {}

    def joinable(self, terms: Terms) -> Rebuilding | None:
        """The rebuild under a lease that a caller may join before it asks the service."""
        with self._lock:
            running = self._running.get(terms.id)
        if running is None or running.local or not terms.shares or not running.joinable_by(terms):
            return None
        return running

    def begin(self, terms: Terms, lease: pb.Lease) -> Rebuilding:
        """A lease has come, so an earlier rebuild of the key here accepts no more callers."""
        with self._lock:
            running = self._begin(terms, lease)
            running.lost = self._lost_before.pop(lease.token, self) is None
            return running

    def begin_local(self, terms: Terms) -> tuple[Rebuilding, bool]:
        """Without the service: the running rebuild, or a new one, and whether it is new."""
        with self._lock:
            running = self._running.get(terms.id)
            if running is not None and running.new_enough_for(terms) and running.joinable_by(terms):
                return running, False
            return self._begin(terms, None), True

    def over(self, terms: Terms, running: Rebuilding) -> None:
        """However it ended, no caller waits for it any more."""
        running.end(Ended())
        with self._lock:
            # Only if it is still its own, because another one may have begun since.
            if self._running.get(terms.id) is running:
                del self._running[terms.id]

    def lost(self, lost: pb.LeaseLost) -> None:
        """The service says that a lease is over."""
        with self._lock:
            running = self._running.get((lost.namespace or "default", lost.key))
            if running is None or running.token != lost.token:
                self._lost_before[lost.token] = None
                if len(self._lost_before) > LOST_KEPT_MAX:
                    del self._lost_before[next(iter(self._lost_before))]
                return
        running.lose()

    def invalidated(self, invalidation: Invalidation) -> None:
        """The client's own invalidation has returned or failed. What it may have reached accepts no more callers."""
        with self._lock:
            for id_, running in self._running.items():
                if invalidation.reaches(id_):
                    running.close()

    def close_local(self, invalidation: Invalidation | None = None) -> None:
        """Rebuilds without the service accept no more callers; None: all of them.

        The service has newer values, or has reported a change. Rebuilds under a lease are told when that is lost.
        """
        with self._lock:
            for id_, running in self._running.items():
                if running.local and (invalidation is None or invalidation.reaches(id_)):
                    running.close()

    def _begin(self, terms: Terms, lease: pb.Lease | None) -> Rebuilding:
        before = self._running.get(terms.id)
        if before is not None:
            before.close()
        running = self._running[terms.id] = Rebuilding(terms, lease)
        return running
