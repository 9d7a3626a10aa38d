"""What becomes of OpenTelemetry's traces; both clients."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from callers import Caller, Context, MakeCaller, fails, gives, until
from fake_service import EXTENDED, STORED, FakeService, hit, lease, unavailable
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider, Span, SpanKind, StatusCode

from dibs import Client
from dibs.v1 import coordinator_pb2 as pb

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traceparent(span: Span | ReadableSpan) -> str:
    its = span.get_span_context()
    assert its is not None
    return f"00-{its.trace_id:032x}-{its.span_id:016x}-{its.trace_flags:02x}"


class Application:
    """One with the SDK."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self.tracer = self.provider.get_tracer("shop")
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def ended(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def rebuilt(self) -> ReadableSpan:
        """The one span of a rebuild."""
        (span,) = self.ended("dibs.rebuild")
        return span


@pytest.fixture
def shop() -> Iterator[Application]:
    application = Application()
    yield application
    application.provider.shutdown()


@pytest.fixture
async def caller(make: MakeCaller, shop: Application, fake: FakeService) -> Caller:
    fake.will("GetOrLock", lease())
    return make(tracer_provider=shop.provider)


@pytest.fixture
def sent(fake: FakeService) -> Callable[[str], list[str | None]]:
    """The traceparents with which a method was called."""
    return lambda method: [heard.metadata.get("traceparent") for heard in fake.heard if heard.method == method]


Sent = Callable[[str], list[str | None]]


class TestARebuild:
    async def test_is_a_span_of_its_caller(self, shop: Application, caller: Caller, sent: Sent) -> None:
        async def rebuild(_: Context) -> bytes:
            with shop.tracer.start_as_current_span("SELECT"):
                return b"v"

        with shop.tracer.start_as_current_span("GET /users/42") as request:
            assert await caller.get("k", rebuild) == b"v"
            assert trace.get_current_span() is request
        span = shop.rebuilt()
        assert span.parent == request.get_span_context()
        assert span.kind == SpanKind.INTERNAL
        assert span.status.status_code == StatusCode.UNSET
        assert span.attributes == {
            "dibs.namespace": "default",
            "dibs.lease.reason": "miss",
            "dibs.fence": 4,
            "dibs.publish.outcome": "stored",
        }
        (query,) = shop.ended("SELECT")
        assert query.parent == span.get_span_context()
        assert sent("GetOrLock") == [traceparent(request)]
        assert sent("Publish") == [traceparent(span)]

    async def test_extends_its_lease_within_its_span(
        self, fake: FakeService, shop: Application, caller: Caller, sent: Sent
    ) -> None:
        fake.will("GetOrLock", lease(expires_in_ms=3_000))
        fake.will("Extend", EXTENDED)

        async def rebuild(_: Context) -> bytes:
            await until(lambda: sent("Extend"))
            return b"v"

        await caller.get("k", rebuild, namespace="mine")
        span = shop.rebuilt()
        assert span.attributes is not None
        assert span.attributes["dibs.namespace"] == "mine"
        # On a busy machine there may be more than one.
        assert set(sent("Extend")) == {traceparent(span)}

    async def test_behind_a_stale_value_is_a_span_too(
        self, fake: FakeService, shop: Application, caller: Caller
    ) -> None:
        fake.will("GetOrLock", lease(previous=b"old"))
        seen: list[str] = []

        async def rebuild(_: Context) -> bytes:
            seen.append(traceparent(trace.get_current_span()))
            return b"new"

        with shop.tracer.start_as_current_span("GET /users/42") as request:
            assert await caller.get("k", rebuild) == b"old"
        await until(lambda: shop.ended("dibs.rebuild"))
        span = shop.rebuilt()
        assert span.parent == request.get_span_context()
        assert seen == [traceparent(span)]

    async def test_that_fails_says_so(self, shop: Application, caller: Caller, sent: Sent) -> None:
        with pytest.raises(ValueError, match="the database is down"):
            await caller.get("k", fails(ValueError("the database is down")))
        span = shop.rebuilt()
        assert span.status.status_code == StatusCode.ERROR
        assert span.status.description == "ValueError: the database is down"
        assert [event.name for event in span.events] == ["exception"]
        assert sent("Release") == [traceparent(span)]

    async def test_of_nothing_is_no_error(self, shop: Application, caller: Caller) -> None:
        assert await caller.get("k", gives(None)) is None
        assert shop.rebuilt().status.status_code == StatusCode.UNSET

    async def test_is_published_again_within_its_span(
        self, fake: FakeService, shop: Application, caller: Caller, sent: Sent, caplog: pytest.LogCaptureFixture
    ) -> None:
        fake.will("Publish", unavailable(1), STORED)
        await caller.get("k", gives(b"v"))
        await until(lambda: len(sent("Publish")) == 2)
        await caller.close()
        assert sent("Publish") == [traceparent(shop.rebuilt())] * 2
        # OpenTelemetry's SDK does not like to hear more of a span that has ended.
        assert caplog.messages == []


class TestATraceparentOfTheCallersOwn:
    async def test_comes_first(self, shop: Application, caller: Caller, sent: Sent) -> None:
        with shop.tracer.start_as_current_span("GET /users/42"):
            await caller.get("k", gives(b"v"), traceparent=REMOTE)
        span = shop.rebuilt()
        assert span.parent is not None
        assert f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-01" == REMOTE
        assert sent("GetOrLock") == [REMOTE]
        assert sent("Publish") == [traceparent(span)]

    @pytest.mark.parametrize("given", [REMOTE, "00-1-2-01", None])
    async def test_is_all_that_is_sent_without_an_sdk(
        self, fake: FakeService, make: MakeCaller, sent: Sent, given: str | None
    ) -> None:
        fake.will("GetOrLock", lease())
        caller = make(tracer_provider=NoOpTracerProvider())
        assert await caller.get("k", gives(b"v"), traceparent=given) == b"v"
        with pytest.raises(ValueError, match="down"):
            await caller.get("k", fails(ValueError("down")), traceparent=given)
        assert sent("GetOrLock") == [given, given]
        assert sent("Publish") == [given]
        assert sent("Release") == [given]

    @pytest.mark.parametrize("given", [REMOTE, None])
    async def test_is_all_that_is_sent_without_opentelemetry(
        self, fake: FakeService, make: MakeCaller, sent: Sent, monkeypatch: pytest.MonkeyPatch, given: str | None
    ) -> None:
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        monkeypatch.delitem(sys.modules, "dibs.open_telemetry", raising=False)
        fake.will("GetOrLock", lease())
        caller = make()
        assert await caller.get("k", gives(b"v"), traceparent=given) == b"v"
        assert sent("GetOrLock") == [given]
        assert sent("Publish") == [given]


async def test_invalidations_are_in_the_span_that_is_current(
    fake: FakeService, shop: Application, caller: Caller, sent: Sent
) -> None:
    fake.will("Invalidate", pb.InvalidateResponse())
    with shop.tracer.start_as_current_span("PUT /users/42") as request:
        await caller.invalidate(["k"])
    await caller.invalidate(["k"])
    assert sent("Invalidate") == [traceparent(request), None]


def test_so_are_the_stubs_calls_unless_they_say_otherwise(fake: FakeService, shop: Application, sent: Sent) -> None:
    fake.will("GetOrLock", hit(b"v"))
    with Client(fake.target, token="secret") as client, shop.tracer.start_as_current_span("GET /users/42") as request:
        client.stub.GetOrLock(pb.GetOrLockRequest(key="k"))
        client.stub.GetOrLock(pb.GetOrLockRequest(key="k"), metadata=(("traceparent", REMOTE),))
    assert sent("GetOrLock") == [traceparent(request), REMOTE]
    assert {heard.metadata["authorization"] for heard in fake.heard} == {"Bearer secret"}


def test_the_global_tracer_provider_is_the_default(
    fake: FakeService, shop: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.will("GetOrLock", lease())
    with Client(fake.target) as client:
        globally: Any = trace
        # What set_tracer_provider sets, which it does once for all.
        monkeypatch.setattr(globally, "_TRACER_PROVIDER", shop.provider)
        client.get_or_rebuild("k", lambda: "v", ttl=60)
    assert shop.rebuilt().parent is None
