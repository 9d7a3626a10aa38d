"""What a client knows and does while the service is unavailable."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from dibs.near_cache import NearValues
from dibs.options import Terms
from dibs.rebuilding import Answer, Invalidation, Rebuilding, Rebuilds

_LOG = logging.getLogger("dibs")
#: How long a result that was rebuilt without the service is used for later callers.
_KEPT_S_MAX = 5.0
_KEPT_MAX = 1_000


class Away:
    """Whether the service is unavailable, logged once at each change, and the results that were rebuilt without it."""

    def __init__(self, target: str, rebuilds: Rebuilds, near: NearValues | None) -> None:
        self._target = target
        self._rebuilds = rebuilds
        self._near = near
        self._lock = threading.Lock()
        self._lost = False
        #: How often the service came back, or welcomed a session.
        self.returns = 0
        self._kept: dict[tuple[str, str], tuple[float, Answer]] = {}

    def lost(self, cause: Exception) -> None:
        """A call could not reach the service."""
        with self._lock:
            told, self._lost = self._lost, True
        if not told:
            _LOG.warning(
                "the service at %s cannot be reached (%s): until it answers, this process rebuilds for itself, "
                "or fails if on_unavailable says so",
                self._target,
                cause,
            )

    def answered(self) -> None:
        """The service is back. Results that were rebuilt without it, or kept for its absence, are no longer used."""
        if not self._lost:
            return
        with self._lock:
            told, self._lost = not self._lost, False
            self.returns += 0 if told else 1
            self._kept.clear()
        self._rebuilds.close_local()
        if self._near is not None:
            self._near.service_is_back()
        if not told:
            _LOG.warning("the service at %s answers again", self._target)

    def welcomed(self) -> None:
        """A session has begun. It reports only changes from now on, so earlier results are no longer used."""
        with self._lock:
            self.returns += 1
            self._kept.clear()
        self._rebuilds.close_local()

    def heard(self, invalidation: Invalidation) -> None:
        """A session reports a change."""
        self._rebuilds.close_local(invalidation)
        self.invalidated(invalidation)

    def keep(self, terms: Terms, running: Rebuilding, answer: Answer, ttl_s: float, returns: int) -> None:
        """Uses the result for later callers too.

        Not if the client has invalidated the key, or received a change, nor if the service was back since the rebuild
        began: ``returns`` is how often it had been back by then.
        """
        now = monotonic()
        with self._lock:
            if len(self._kept) >= _KEPT_MAX:
                self._kept = {id_: kept for id_, kept in self._kept.items() if kept[0] > now}
            is_of_now = self._lost and self.returns == returns
            has_room = terms.id in self._kept or len(self._kept) < _KEPT_MAX
            if is_of_now and running.open and has_room:
                self._kept[terms.id] = (now + min(ttl_s, _KEPT_S_MAX), answer)

    def kept(self, terms: Terms) -> Answer | None:
        """A recent result of a local rebuild."""
        with self._lock:
            until, answer = self._kept.get(terms.id, (0.0, None))
        # A caller whose codec could not read a value may have got it from here.
        serves = terms.shares and terms.unreadable_fence is None
        return answer if serves and monotonic() < until else None

    def invalidated(self, invalidation: Invalidation) -> None:
        """The client's own invalidation, which may have failed because the service is unavailable."""
        with self._lock:
            self._kept = {id_: kept for id_, kept in self._kept.items() if not invalidation.reaches(id_)}
