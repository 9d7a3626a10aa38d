"""Fresh values in this process's memory, as long as a session reports changes."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from dibs.errors import InvalidOptionError
from dibs.metrics import Count, Metrics
from dibs.options import names
from dibs.outcomes import payload
from dibs.v1 import coordinator_pb2 as pb

#: A session without a beat for this long may have missed a change. The service sends one each second.
LIVE_S = 3.0
#: The contract's bound for one session.
_NAMESPACES_MAX = 64
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{0,64}")
#: The size of an entry without its key, its value and its tags: measured, on 64-bit CPython.
ENTRY_BYTES = 600
#: The size of a tag without its text.
_TAG_BYTES = 60
#: Beyond this many, a change by tag drops all values of its namespace.
_TAGS_KEPT_MAX = 10_000
#: Beyond this many, answers to requests under way are not kept.
_KEYS_KEPT_MAX = 2_000


@dataclass(frozen=True)
class NearCache:
    """The size of a client's cache in its own memory. It needs sessions.

    A value's time counts from when its request was sent, because its answer may have waited for this process to read
    it. A caller that waited for a rebuild therefore keeps the value for less time.

    max_bytes: the bound of values and keys together, with what Python needs for them. The least recently used go first.
    namespaces: those whose values are kept, at most 64. Default: the client's own.
    """

    max_bytes: int
    namespaces: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """When a request was sent."""

    #: A time of `time.monotonic()`.
    at: float
    #: How many changes had come by then.
    changes: int


class Watch:
    """What one session reports of changes. Written in the threads of that session."""

    def __init__(self) -> None:
        #: When it was last certain to have reported every change, a time of `time.monotonic()`.
        self.heard_at = 0.0
        self.ended = False


#: For values that may be old.
_ENDED = Watch()
_ENDED.ended = True


class _Changes:
    """The changes by tag of one namespace, with their positions in the order of all. Written under the lock."""

    def __init__(self, hits: Count) -> None:
        #: All earlier values are void, with any tags.
        self.floor = 0
        self.latest = 0
        self.by_tag: dict[str, int] = {}
        self.hit = hits.up

    def note(self, tags: Iterable[str], at: int) -> None:
        if len(self.by_tag) > _TAGS_KEPT_MAX:
            self.drop(at)
        for tag in tags:
            self.by_tag[tag] = at
        # Last, so that no reader sees the new time without its tags.
        self.latest = at

    def drop(self, at: int) -> None:
        # The floor first: a reader reads `by_tag` before it, so it misses no change that is forgotten here.
        self.floor = at
        self.by_tag = {}
        self.latest = at

    def spares(self, tags: tuple[str, ...] | None, since: int) -> bool:
        """Whether a value with these tags, requested when `since` changes had come, is valid. None: unknown tags."""
        if since >= self.latest:
            return True
        by_tag = self.by_tag
        if tags is None or since < self.floor:
            return False
        return all(by_tag.get(tag, 0) <= since for tag in tags)


@dataclass(slots=True)
class Entry:
    """A value that was fresh when its request was sent. Only its watch is ever replaced."""

    #: None if the source has nothing.
    data: bytes | None
    fence: int
    fresh_until: float
    #: The session that reports its changes.
    watch: Watch
    #: The changes of its namespace, and how many had come when it was requested.
    changes: _Changes
    since: int
    tags: tuple[str, ...] | None
    size: int


class NearValues:
    """The values, bounded in bytes. Any thread may use it. Reading takes no lock.

    An answer is kept only if it came over a watching session, and no change of its key was reported since the request.
    An entry is served only while its session is live and it is fresh. All are dropped when a session breaks.
    """

    def __init__(self, options: NearCache, own_namespace: str, metrics: Metrics, *, keeps: bool = False) -> None:
        """Raises InvalidOptionError or TypeError for options that cannot work."""
        size = options.max_bytes
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"near_cache.max_bytes: {size!r} is not a whole number of bytes")
        if not 1 <= size <= 2**53 - 1:
            raise InvalidOptionError(f"near_cache.max_bytes: {size} is outside 1 to {2**53 - 1}")
        its = (own_namespace,) if options.namespaces is None else names("near_cache.namespaces", options.namespaces)
        for name in its:
            if _NAMESPACE.fullmatch(name) is None:
                raise InvalidOptionError(f"near_cache.namespaces: {name!r} is not at most 64 of A-Z a-z 0-9 _ . -")
        #: Without repeats, in their order.
        self.namespaces = tuple(dict.fromkeys(name or "default" for name in its))
        if len(self.namespaces) > _NAMESPACES_MAX:
            count_ = len(self.namespaces)
            raise InvalidOptionError(f"near_cache.namespaces: {count_} are more than {_NAMESPACES_MAX}")
        self._bytes_max = size
        #: Whether what is left when the service is lost is served as stale.
        self._keeps = keeps
        self._hits = {name: metrics.hits(name, "near", "fresh") for name in self.namespaces}
        self.renew()

    def renew(self) -> None:
        """For a process that was just forked: it has no session, and no thread that would release the lock."""
        self._lock = threading.Lock()
        self._watched = {name: _Changes(self._hits[name]) for name in self.namespaces}
        self._entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        self._bytes = 0
        #: How many changes have come.
        self._count = 0
        #: Answers that were requested before this are not kept.
        self._floor = 0
        #: When each key has changed, as far as requests under way may not know.
        self._changed: dict[tuple[str, str], int] = {}

    def get(self, namespace: str, key: str) -> Entry | None:
        """The fresh value of a key."""
        id_ = (namespace, key)
        entry = self._entries.get(id_)
        if entry is None:
            return None
        now, watch, changes = monotonic(), entry.watch, entry.changes
        if watch.ended or now >= entry.fresh_until or now - watch.heard_at >= LIVE_S:
            return None
        if entry.since < changes.latest and not changes.spares(entry.tags, entry.since):
            return None
        try:  # noqa: SIM105 (a context manager takes as long as all the rest)
            self._entries.move_to_end(id_)
        except KeyError:
            # Dropped in the meantime: by a change that this call need not know of, or to make room.
            pass
        next(changes.hit)
        return entry

    def left(self, namespace: str, key: str) -> Entry | None:
        """The value that was fresh when the service last answered, to serve only as stale; if that is enabled."""
        entry = self._entries.get((namespace, key)) if self._keeps else None
        if entry is None or monotonic() >= entry.fresh_until or not entry.changes.spares(entry.tags, entry.since):
            return None
        return entry

    def ask(self) -> Asked:
        """A request is sent now."""
        return Asked(monotonic(), self._count)

    def fill(self, asked: Asked, watch: Watch, namespace: str, key: str, hit: pb.Hit) -> None:
        """Keeps a hit of this session, unless something has changed, or its time is over, since the request.

        The hit of another answer is empty, and is not kept.
        """
        changes = self._watched.get(namespace or "default")
        if changes is None or hit.fresh_for_ms <= 0 or hit.freshness == pb.FRESHNESS_STALE:
            return
        if hit.WhichOneof("payload") is None:
            return
        id_, data = (namespace or "default", key), payload(hit)
        tags = tuple(hit.tags.names) if hit.HasField("tags") else None
        size = ENTRY_BYTES + len(key.encode()) + len(data or b"") + sum(_TAG_BYTES + len(tag) for tag in tags or ())
        # The service counts from its answer. That was made after the request was sent, and may have come late.
        fresh_until, since = asked.at + hit.fresh_for_ms / 1_000, asked.changes
        entry = Entry(data, hit.fence, fresh_until, watch, changes, since, tags, size)
        with self._lock:
            if watch.ended or since < self._floor or self._changed.get(id_, 0) > since:
                return
            if not changes.spares(tags, since):
                return
            self._drop(id_)
            if size > self._bytes_max or monotonic() >= fresh_until:
                return
            self._entries[id_] = entry
            self._bytes += size
            while self._bytes > self._bytes_max:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.size

    def answered(self, watch: Watch | None, namespace: str, key: str) -> None:
        """The service has answered: over the session of this watch, or without one.

        A copy that this session does not keep up to date may be older, and would be served at the next absence.
        """
        id_ = (namespace or "default", key)
        entry = self._entries.get(id_) if self._keeps else None
        if entry is None or entry.watch is watch:
            return
        with self._lock:
            self._drop(id_)

    def changed(self, namespace: str, keys: Iterable[str], tags: Sequence[str] = (), everything: bool = False) -> None:
        """The service reports what has changed, or this client has changed it."""
        name = namespace or "default"
        changes = self._watched.get(name)
        if changes is None:
            return
        with self._lock:
            self._count += 1
            if everything:
                changes.drop(self._count)
            elif tags:
                changes.note(tags, self._count)
            for key in keys:
                self._changed[(name, key)] = self._count
                self._drop((name, key))
            if len(self._changed) > _KEYS_KEPT_MAX:
                self._changed.clear()
                self._floor = self._count

    def missed(self) -> None:
        """Changes may have been missed: the session broke, or was silent for too long. Its watch has ended."""
        with self._lock:
            self._count += 1
            self._floor = self._count
            self._changed.clear()
            if not self._keeps:
                self._clear()
            # Only as stale, from now on. That holds for those of sessions that are still open, too.
            for entry in self._entries.values():
                entry.watch = _ENDED

    def began(self) -> None:
        """There is a session, and the service says what is fresh. Answers to earlier requests are kept."""
        with self._lock:
            self._clear()

    def service_is_back(self) -> None:
        """The service answers, perhaps without a session. What was kept for its absence is dropped."""
        now = monotonic()
        with self._lock:
            # A silent session may have missed a change. At its end, its entries would be kept for the next absence.
            for id_, entry in list(self._entries.items()):
                if entry.watch.ended or now - entry.watch.heard_at >= LIVE_S:
                    self._drop(id_)

    def _drop(self, id_: tuple[str, str]) -> None:
        entry = self._entries.pop(id_, None)
        if entry is not None:
            self._bytes -= entry.size

    def _clear(self) -> None:
        self._entries.clear()
        self._bytes = 0
