"""What the near cache keeps, for how long, and what drops it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import dibs.near_cache
from dibs import Client, InvalidOptionError, NearCache
from dibs.metrics import Metrics
from dibs.near_cache import ENTRY_BYTES, LIVE_S, NearValues, Watch
from dibs.v1 import coordinator_pb2 as pb

DAY_MS = 86_400_000


def answer(value: bytes | None = b"v", fresh_for_ms: int = DAY_MS, tags: list[str] | None = None) -> pb.Hit:
    hit = pb.Hit(freshness=pb.FRESHNESS_FRESH, fresh_for_ms=fresh_for_ms, fence=7)
    if value is None:
        hit.absent = True
    else:
        hit.value = value
    if tags is not None:
        hit.tags.names.extend(tags)
    return hit


def live() -> Watch:
    watch = Watch()
    # For ever, unless a test says otherwise.
    watch.heard_at = math.inf
    return watch


class Near(NearValues):
    """Of the namespaces `default` and `other`, with a session that is live."""

    def __init__(self, max_bytes: int = 1_000_000, **how: Any) -> None:
        super().__init__(NearCache(max_bytes, ["", "other", "default"]), "", Metrics(), **how)
        self.watch = live()

    def filled(
        self, key: str, hit: pb.Hit | None = None, meanwhile: Callable[[], Any] = lambda: None, namespace: str = ""
    ) -> bytes | str | None:
        asked = self.ask()
        meanwhile()
        self.fill(asked, self.watch, namespace, key, answer() if hit is None else hit)
        return self.of(key, namespace or "default")

    def of(self, key: str, namespace: str = "default") -> bytes | str | None:
        entry = self.get(namespace, key)
        return "nothing" if entry is None else entry.data


class TestKeeps:
    def test_fresh_values_and_absences_and_nothing_else(self) -> None:
        near = Near()
        assert near.filled("a") == b"v"
        assert near.filled("b", answer(None)) is None
        assert near.filled("c", answer(b"")) == b""
        assert near.filled("d", answer(fresh_for_ms=0)) == "nothing"
        assert near.filled("e", pb.Hit(value=b"v", freshness=pb.FRESHNESS_STALE, fresh_for_ms=5)) == "nothing"
        assert near.filled("f", pb.Hit(freshness=pb.FRESHNESS_FRESH, fresh_for_ms=5)) == "nothing"
        counts = near._hits["default"], near._hits["other"]
        assert [count.look() for count in counts * 2] == [3, 0, 3, 0]

    def test_keys_of_watched_namespaces_apart(self) -> None:
        near = Near()
        assert near.namespaces == ("default", "other")
        assert near.filled("k", namespace="other") == b"v"
        assert near.of("k") == "nothing"
        assert near.filled("k", namespace="third") == "nothing"
        near.changed("third", ["k"], ["t"], True)
        assert near.of("k", "other") == b"v"

    def test_no_value_longer_than_it_is_fresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        near, now = Near(), [1_000.0]
        monkeypatch.setattr(dibs.near_cache, "monotonic", lambda: now[0])
        near.watch.heard_at = 1_000.0
        near.filled("k", answer(fresh_for_ms=500))
        now[0] = 1_000.4999
        assert near.of("k") == b"v"
        now[0] = 1_000.5
        assert near.of("k") == "nothing"

    def test_a_value_for_less_time_when_its_answer_came_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        near, now = Near(keeps=True), [1_000.0]
        monkeypatch.setattr(dibs.near_cache, "monotonic", lambda: now[0])
        near.watch.heard_at = 1_000.0

        def came_after(pause: float) -> Callable[[], None]:
            return lambda: now.__setitem__(0, now[0] + pause)

        near.filled("k", answer(fresh_for_ms=1_000), came_after(0.8))
        now[0] = 1_000.9
        assert near.of("k") == b"v"
        now[0] = 1_001.0
        assert near.of("k") == "nothing"
        for pause in (1.0, 1.1):
            assert near.filled("late", answer(fresh_for_ms=1_000), came_after(pause)) == "nothing"
            assert near.left("default", "late") is None
        # It pushes out no other value either.
        assert ("default", "late") not in near._entries

    def test_no_value_without_a_beat(self, monkeypatch: pytest.MonkeyPatch) -> None:
        near, now = Near(), [1_000.0]
        monkeypatch.setattr(dibs.near_cache, "monotonic", lambda: now[0])
        near.watch.heard_at = 1_000.0
        near.filled("k")
        now[0] = 1_000.0 + LIVE_S - 0.001
        assert near.of("k") == b"v"
        now[0] = 1_000.0 + LIVE_S
        assert near.of("k") == "nothing"
        near.watch.heard_at = now[0]
        assert near.of("k") == b"v"

    def test_its_bytes_in_bounds(self) -> None:
        size = ENTRY_BYTES + 1 + 1_000
        near = Near(3 * size)
        for key in "abc":
            near.filled(key, answer(b"v" * 1_000))
        assert [near.of(key) != "nothing" for key in "abc"] == [True, True, True]
        # What was used least recently goes first.
        near.of("a")
        near.filled("d", answer(b"v" * 1_000))
        assert [near.of(key) != "nothing" for key in "abcd"] == [True, False, True, True]

    def test_no_value_that_is_larger_than_all_together(self) -> None:
        near = Near(ENTRY_BYTES + 1 + 1_000)
        assert near.filled("a", answer(b"v" * 1_000)) == b"v" * 1_000
        assert near.filled("a", answer(b"v" * 1_001)) == "nothing"
        assert near.filled("a", answer(b"v" * 1_000)) == b"v" * 1_000
        # The bytes of what was replaced and dropped are counted no more.
        for _ in range(10):
            near.changed("", ["a"])
            assert near.filled("a", answer(b"v" * 1_000)) == b"v" * 1_000

    def test_what_an_entry_takes_is_counted(self) -> None:
        import tracemalloc

        near = Near(2**40)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for at in range(5_000):
            near.fill(near.ask(), near.watch, "", f"key {at}", answer(b"%d" % at, tags=[f"tag {at}"]))
        took = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert 0.6 * near._bytes < took <= near._bytes


class TestDrops:
    def test_what_has_changed(self) -> None:
        near = Near()
        for key in "abc":
            near.filled(key)
        near.changed("default", ["a", "x"])
        assert [near.of(key) for key in "abc"] == ["nothing", b"v", b"v"]
        near.changed("other", ["b"], everything=True)
        assert near.of("b") == b"v"
        near.changed("", [], everything=True)
        assert [near.of(key) for key in "abc"] == ["nothing"] * 3
        assert near.filled("a") == b"v"

    def test_by_tag_what_has_the_tag_or_may_have_it(self) -> None:
        near = Near()
        near.filled("tagged", answer(tags=["a", "b"]))
        near.filled("other", answer(tags=["c"]))
        near.filled("bare", answer(tags=[]))
        near.filled("unknown", answer(tags=None))
        near.changed("", [], ["b", "x"])
        assert [near.of(key) for key in ("tagged", "other", "bare", "unknown")] == ["nothing", b"v", b"v", "nothing"]

    def test_no_answer_to_a_later_question(self) -> None:
        near = Near()
        near.changed("", ["k"], ["t"])
        near.changed("", [], everything=True)
        assert near.filled("k", answer(tags=["t"])) == b"v"

    @pytest.mark.parametrize(
        "change",
        [{"keys": ["x", "k"]}, {"tags": ["t"]}, {"everything": True}, {"keys": [str(at) for at in range(3_000)]}],
    )
    def test_an_answer_that_a_change_has_overtaken(self, change: dict[str, Any]) -> None:
        near = Near()
        meanwhile = lambda: near.changed("", **{"keys": (), **change})
        assert near.filled("k", answer(tags=["t"]), meanwhile) == "nothing"

    def test_no_answer_that_a_change_of_others_has_not_overtaken(self) -> None:
        near = Near()
        assert near.filled("k", answer(tags=["t"]), lambda: near.changed("", ["x"], ["u"])) == b"v"
        assert near.filled("k", answer(tags=["t"]), lambda: near.changed("other", ["k"], ["t"], True)) == b"v"

    def test_more_tags_than_it_remembers_drop_all(self) -> None:
        near = Near()
        near.filled("before", answer(tags=["mine"]))
        near.changed("", [], ["mine"])
        for at in range(11):
            near.changed("", [], [f"{at} {tag}" for tag in range(1_000)])
        assert near.of("before") == "nothing"
        assert near.filled("k", answer(tags=["mine"])) == b"v"

    def test_all_when_changes_may_have_been_missed(self) -> None:
        near = Near()
        near.filled("k")
        near.watch.ended = True
        assert near.of("k") == "nothing"
        near.missed()
        assert near._bytes == 0
        near.watch = live()
        assert near.filled("k", meanwhile=near.missed) == "nothing"
        near.watch.ended = True
        assert near.filled("k") == "nothing"


class TestWithoutTheService:
    def test_what_was_fresh_is_left_where_that_is_asked_for(self) -> None:
        for keeps in (True, False):
            near = Near(keeps=keeps)
            for key in "abc":
                near.filled(key, answer(tags=[key]))
            near.watch.ended = True
            near.missed()
            assert [near.of(key) for key in "abc"] == ["nothing"] * 3
            # What this process itself invalidates is not served either.
            near.changed("", ["a"], ["b"])
            left = [near.left("default", key) for key in "abc"]
            assert [entry is not None for entry in left] == [False, False, keeps]
            near.began()
            assert near.left("default", "c") is None

    def test_what_is_left_of_an_open_session_is_stale_too_after_another_one_broke(self) -> None:
        near, another = Near(keeps=True), live()
        near.fill(near.ask(), another, "", "k", answer())
        assert near.of("k") == b"v"
        near.watch.ended = True
        near.missed()
        assert near.of("k") == "nothing"
        assert near.left("default", "k") is not None
        # What is asked for after that is fresh.
        near.fill(near.ask(), another, "", "k", answer(b"new"))
        assert near.of("k") == b"new"

    def test_what_is_left_is_dropped_when_the_service_is_back_and_not_what_a_live_session_reports(self) -> None:
        near, another, silent = Near(keeps=True), live(), live()
        near.filled("old")
        near.watch.ended = True
        near.missed()
        near.fill(near.ask(), another, "", "new", answer())
        near.fill(near.ask(), silent, "", "silent", answer())
        silent.heard_at = time.monotonic() - LIVE_S - 1
        near.service_is_back()
        assert [near.left("default", key) is not None for key in ("old", "new", "silent")] == [False, True, False]
        assert near.of("new") == b"v"

    def test_what_is_left_ends_with_an_answer_over_another_session(self) -> None:
        near, another = Near(keeps=True), live()
        for key in ("left", "untouched"):
            near.filled(key)
        near.missed()
        for key in ("live", "own"):
            near.filled(key)
        for key in ("left", "live"):
            near.answered(another, "", key)
        near.answered(near.watch, "", "own")
        left = [near.left("default", key) is not None for key in ("left", "untouched", "live", "own")]
        assert left == [False, True, False, True]

    def test_no_longer_than_it_would_have_been_fresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        near = Near(keeps=True)
        near.filled("k", answer(fresh_for_ms=500))
        later = time.monotonic() + 0.5
        monkeypatch.setattr(dibs.near_cache, "monotonic", lambda: later)
        assert near.left("default", "k") is None


class TestOptions:
    @pytest.mark.parametrize("size", [0, -1, 2**53])
    def test_bytes_out_of_bounds(self, size: int) -> None:
        with pytest.raises(InvalidOptionError, match=f"near_cache.max_bytes: {size} is outside 1 to 9007199254740991"):
            Client(near_cache=NearCache(size))

    @pytest.mark.parametrize("size", [1.5, True, "1"])
    def test_bytes_of_another_type(self, size: Any) -> None:
        with pytest.raises(TypeError, match=r"near_cache.max_bytes"):
            Client(near_cache=NearCache(size))

    def test_namespaces(self) -> None:
        Client(near_cache=NearCache(1, [f"{at}" for at in range(64)]))
        with pytest.raises(InvalidOptionError, match=r"near_cache.namespaces: 65 are more than 64"):
            Client(near_cache=NearCache(1, [f"{at}" for at in range(65)]))
        Client(near_cache=NearCache(1, ["n" * 64]))
        for wrong in ("n" * 65, "a b", "ä"):
            with pytest.raises(InvalidOptionError, match=r"near_cache.namespaces"):
                Client(near_cache=NearCache(1, [wrong]))

    def test_it_needs_sessions(self) -> None:
        with pytest.raises(InvalidOptionError, match=r"near_cache: needs sessions"):
            Client(near_cache=NearCache(1), session=False)


def test_threads_lose_no_hit_and_serve_no_change_late() -> None:
    near, stop, wrong = Near(200 * (ENTRY_BYTES + 20)), threading.Event(), []

    def write() -> None:
        for at in range(3_000):
            key = f"{at % 50}"
            near.changed("", [key])
            near.fill(near.ask(), near.watch, "", key, answer(b"%d" % at, tags=[f"t{at % 7}"]))
            near.changed("", [], [f"t{(at + 3) % 7}"])
        stop.set()

    def read() -> None:
        latest: dict[str, int] = {}
        while not stop.is_set():
            for at in range(50):
                entry = near.get("default", f"{at}")
                if entry is not None and entry.data is not None:
                    value = int(entry.data)
                    if value < latest.get(f"{at}", 0):
                        wrong.append((at, value))
                    latest[f"{at}"] = value

    threads = [threading.Thread(target=work) for work in (write, read, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert near._bytes == sum(entry.size for entry in near._entries.values())
