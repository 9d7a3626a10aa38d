"""What can be said of clients and calls, and how it is sent."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dibs import (
    BYTES,
    JSON,
    BusyError,
    Client,
    Invalidated,
    InvalidOptionError,
    LeaseLostError,
    RebuildFailedError,
    ReentrantRebuildError,
    ServiceError,
    UndecodableError,
)
from dibs.failure import failure_of
from dibs.invalidating import invalidations
from dibs.options import default_holder, milliseconds
from dibs.outcomes import word
from dibs.rebuild_context import wants_context
from dibs.v1 import coordinator_pb2 as pb


@pytest.mark.parametrize(
    ("time", "ms"), [(1, 1_000), (0.25, 250), (0, 0), (timedelta(minutes=1), 60_000), (60 * 1.00001, 60_001), (1e-9, 1)]
)
def test_times_are_sent_in_whole_milliseconds(time: Any, ms: int) -> None:
    assert milliseconds("wait", time, 0, 100_000) == ms


TIMES = ["ttl", "stale_ttl", "absent_ttl", "wait", "lease"]
WRONG = [float("nan"), float("inf"), float("-inf"), 1e300, 10**400, -1, timedelta(days=-1)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        *(({"ttl": 1, name: wrong}, ValueError) for name in TIMES for wrong in WRONG),
        ({"ttl": 0}, ValueError),
        ({"ttl": 31_536_001}, ValueError),
        ({"ttl": "1"}, TypeError),
        ({"ttl": 1, "lease": 0}, ValueError),
        ({"ttl": 1, "tags": [""]}, ValueError),
        ({"ttl": 1, "tags": ["x" * 257]}, ValueError),
        ({"ttl": 1, "tags": ["\ud83d"]}, ValueError),
        ({"ttl": 1, "tags": ["x"] * 17}, ValueError),
        ({"ttl": 1, "tags": [1]}, TypeError),
        ({"ttl": 1, "stale": "yes"}, ValueError),
        ({"ttl": 1, "read": "far"}, ValueError),
        ({"ttl": 1, "revalidate": "later"}, ValueError),
        ({"ttl": 1, "on_unavailable": "cry"}, ValueError),
        ({"ttl": 1, "tags": "one"}, TypeError),
        ({"ttl": 1, "tll": 1}, TypeError),
        ({}, TypeError),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_done(options: Any, error: type[Exception]) -> None:
    with Client() as client, pytest.raises(error):
        client.get_or_rebuild("k", lambda: pytest.fail("rebuilt"), **options)


async def coroutine_function() -> str:
    return "v"


def test_a_client_for_threads_refuses_async_functions_at_once() -> None:
    with Client() as client:
        get: Any = client.get_or_rebuild
        with pytest.raises(TypeError, match="coroutine_function is async: use an AsyncClient"):
            get("k", coroutine_function, ttl=1)
        with pytest.raises(TypeError, match="coroutine_function is async"):
            client.cached(key="k", ttl=1)(coroutine_function)


def test_invalidations_are_split_to_what_one_request_may_carry() -> None:
    keys, tags = [f"{at}" for at in range(501)], [f"{at}" for at in range(17)]
    requests = invalidations("n", keys, tags, False, "delete")
    assert [(len(request.keys), len(request.tags)) for request in requests] == [(250, 16), (250, 1), (1, 0)]
    assert [key for request in requests for key in request.keys] == keys
    assert invalidations("n", [], [], False, "delete") == []


@pytest.mark.parametrize("wrong", WRONG)
def test_times_to_wait_are_checked_too(wrong: Any) -> None:
    client = Client("127.0.0.1:9")
    for call in (
        lambda: client.get_or_rebuild("k", lambda: pytest.fail("rebuilt"), ttl=1, timeout=wrong),
        lambda: client.ready(wrong),
        lambda: client.flush(wrong),
        lambda: client.close(wrong),
        lambda: Client(connect=wrong),
        lambda: Client(lease_hold_max=wrong),
    ):
        with pytest.raises(InvalidOptionError, match=" is outside "):
            call()
    client.close()


def test_half_a_surrogate_pair_is_no_text() -> None:
    with Client("127.0.0.1:9") as client:
        for call in (
            lambda: client.get_or_rebuild("k\ud800", lambda: 1, ttl=1),
            lambda: client.invalidate(["k\ud800"]),
            lambda: client.invalidate(tags=["\udc00"]),
        ):
            with pytest.raises(InvalidOptionError, match="an unpaired surrogate"):
                call()


def test_an_invalidation_of_nothing_sends_nothing() -> None:
    with Client("127.0.0.1:9") as client:
        assert client.invalidate([]) == Invalidated(0, 0)


def test_the_holder_is_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 300)
    assert len(default_holder()) <= 256


class NamedError(Exception):
    def __init__(self, message: str = "", retry_after: Any = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("short", "short"),
        ("", "NamedError"),
        ("x" * 5_000, "x" * 4_096),
        ("x" * 4_095 + "é", "x" * 4_095),
        ("x" * 4_094 + "é!", "x" * 4_094 + "é"),
        ("x" * 4_093 + "😀", "x" * 4_093),
        ("x" * 4_092 + "😀😀", "x" * 4_092 + "😀"),
        ("half \ud83d", "half ?"),
    ],
)
def test_failure_messages_are_cut_between_characters(message: str, told: str) -> None:
    assert failure_of(NamedError(message)).message == told


@pytest.mark.parametrize(
    ("retry_after", "ms"),
    [
        (0, 0),
        (1.5, 1_500),
        (300, 300_000),
        (timedelta(seconds=2), 2_000),
        (300.1, None),
        (-1, None),
        (float("nan"), None),
        ("1", None),
        (True, None),
        (None, None),
    ],
)
def test_an_error_may_say_how_long_the_source_is_left_alone(retry_after: Any, ms: int | None) -> None:
    failure = failure_of(NamedError("x", retry_after))
    assert (failure.retry_after_ms if failure.HasField("retry_after_ms") else None) == ms


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("UNAVAILABLE", "gone", 1.5),
        BusyError("budget", 1.0, 2.0),
        RebuildFailedError("no", 1.0),
        LeaseLostError(),
        InvalidOptionError("ttl_ms: 0 is outside 1 to 2"),
        ReentrantRebuildError("k"),
        UndecodableError("k"),
    ],
)
def test_errors_go_through_pickle(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("fn", "wants"),
    [
        (lambda: 1, False),
        (lambda context: 1, True),
        (lambda id=1: 1, False),
        (lambda *args, **kwargs: 1, False),
        (dict, False),
        ("abc".upper, False),
    ],
)
def test_a_rebuild_takes_nothing_or_its_context(fn: Any, wants: bool) -> None:
    assert wants_context(fn) is wants


def test_codecs_refuse_what_would_not_come_back() -> None:
    for bad in (float("nan"), object()):
        with pytest.raises((TypeError, ValueError)):
            JSON.encode(bad)
    value: Any = memoryview(b"ab")
    assert BYTES.encode(value) == b"ab"


def test_words_of_the_contract() -> None:
    assert word(pb.BusyReason, pb.BUSY_REASON_WAIT_ENDED) == "wait_ended"
    assert word(pb.PublishOutcome, 99) == "unspecified"
    assert word(pb.LeaseReason, 0) == "unspecified"


@pytest.mark.parametrize("wrong", [5, b"n", "\ud800"])
def test_every_text_is_refused_by_its_name(wrong: Any) -> None:
    calls: dict[str, list[Callable[[Client], Any]]] = {
        "namespace": [
            lambda client: client.get_or_rebuild("k", lambda: pytest.fail("rebuilt"), ttl=1, namespace=wrong),
            lambda client: client.get_or_rebuild_many(["k"], lambda _: pytest.fail("rebuilt"), ttl=1, namespace=wrong),
            lambda client: client.get("k", namespace=wrong),
            lambda client: client.set("k", 1, ttl=1, namespace=wrong),
            lambda client: client.explain("k", namespace=wrong),
            lambda client: client.invalidate(["k"], namespace=wrong),
            lambda _: Client("127.0.0.1:9", namespace=wrong),
        ],
        "traceparent": [
            lambda client: client.get_or_rebuild("k", lambda: pytest.fail("rebuilt"), ttl=1, traceparent=wrong),
            lambda client: client.get("k", traceparent=wrong),
        ],
        "holder": [
            lambda _: Client("127.0.0.1:9", holder=wrong),
            lambda _: Client("127.0.0.1:9", holder="h" * 257),
        ],
    }
    with Client("127.0.0.1:9", connect=0.2) as client:
        for name, wrongly in calls.items():
            for call in wrongly:
                with pytest.raises((TypeError, InvalidOptionError), match=f"^{name}: |INVALID_ARGUMENT: {name}: "):
                    call(client)


@pytest.mark.parametrize("wrong", ["false", 0, 1])
def test_a_flag_is_true_or_false(wrong: Any) -> None:
    """A text from the environment would count as true, whatever it says."""
    calls: dict[str, Callable[[Client], Any]] = {
        "refresh": lambda client: client.get_or_rebuild("k", lambda: pytest.fail("rebuilt"), ttl=1, refresh=wrong),
        "stale_if_error": lambda client: client.get_or_rebuild(
            "k", lambda: pytest.fail("rebuilt"), ttl=1, stale_if_error=wrong
        ),
        "all": lambda client: client.invalidate(all=wrong),
        "session": lambda _: Client("127.0.0.1:9", session=wrong),
        "key_affinity": lambda _: Client("127.0.0.1:9", key_affinity=wrong),
        "allow_insecure_token": lambda _: Client("dibs.test:9", token="secret", allow_insecure_token=wrong),
        "serve_near_when_unavailable": lambda _: Client("127.0.0.1:9", serve_near_when_unavailable=wrong),
    }
    with Client("127.0.0.1:9", connect=0.2) as client:
        for name, call in calls.items():
            with pytest.raises(TypeError, match=f"^{name}: {wrong!r} is neither True nor False$"):
                call(client)
