"""What becomes of OpenTelemetry's metrics; both clients."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from callers import PATIENCE_S, Caller, MakeCaller, fails, gives, never_called, until, until_lost
from fake_service import EXTENDED, LOST, STORED, FakeService, busy, hit, lease, published, unavailable
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from dibs import JSON, BusyError, NearCache
from dibs.open_telemetry_metrics import metrics_of
from dibs.v1 import coordinator_pb2 as pb

Seen = dict[tuple[Any, ...], Any]


class Application:
    """One with the SDK."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])

    def seen(self, name: str) -> Seen:
        """Each value of a metric, by its attributes but the namespace, in the order of their names."""
        its: Seen = {}
        data = self._reader.get_metrics_data()
        for of_resource in [] if data is None else data.resource_metrics:
            for scope in of_resource.scope_metrics:
                assert scope.scope.name == "dibs-client"
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == f"dibs.client.{name}" else ():
                        words = dict(point.attributes or {})
                        assert words.pop("dibs.namespace") == "default"
                        labels = tuple(words[word] for word in sorted(words))
                        assert labels not in its, "two metrics of one name"
                        its[labels] = point.value if isinstance(point, NumberDataPoint) else point.count
        return its


@pytest.fixture
def shop() -> Iterator[Application]:
    application = Application()
    yield application
    application.provider.shutdown()


@pytest.fixture
async def caller(make: MakeCaller, shop: Application) -> Caller:
    return make(meter_provider=shop.provider)


@pytest.mark.usefixtures("live")
async def test_hits_are_counted_by_their_source(
    shop: Application, make_on_session: MakeCaller, fake: FakeService
) -> None:
    fresh = pb.GetOrLockResponse(hit=pb.Hit(value=b"v", freshness=pb.FRESHNESS_FRESH, fresh_for_ms=60_000))
    stale = pb.GetOrLockResponse(hit=pb.Hit(value=b"v", freshness=pb.FRESHNESS_STALE))
    fake.will("GetOrLock", fresh)
    near = [make_on_session(meter_provider=shop.provider, near_cache=NearCache(10_000)) for _ in range(2)]
    for caller in near:
        for _ in range(3):
            await caller.get("k", never_called)
    fake.will("GetOrLock", stale)
    await near[0].get("other", never_called)
    wanted = {("fresh", "near"): 4, ("fresh", "service"): 2, ("stale", "service"): 1}
    assert shop.seen("hits") == wanted
    assert shop.seen("hits") == wanted


async def test_so_are_callers_that_joined_a_rebuild(shop: Application, caller: Caller, fake: FakeService) -> None:
    gate = asyncio.Event()

    async def rebuild(_: Any) -> bytes:
        await gate.wait()
        return b"v"

    fake.will("GetOrLock", lease())
    first = asyncio.ensure_future(caller.get("k", rebuild))
    await until(lambda: caller.client._rebuilds._running)
    second = asyncio.ensure_future(caller.get("k", never_called))
    await until(lambda: next(iter(caller.client._rebuilds._running.values())).joined)
    gate.set()
    assert await first == await second == b"v"
    assert shop.seen("hits") == {("fresh", "joined"): 1}
    assert shop.seen("wait.duration") == {(): 1}


async def test_rebuilds_are_counted_by_their_outcome(shop: Application, caller: Caller, fake: FakeService) -> None:
    fake.will("GetOrLock", lease())
    await caller.get("published", gives(b"v"))
    fake.will("Publish", published(pb.PUBLISH_OUTCOME_NOT_STORED))
    await caller.get("not stored", gives(b"v"))
    fake.will("Publish", unavailable(), STORED)
    await caller.get("published at last", gives(b"v"))
    assert await caller.flush(PATIENCE_S)
    fake.will("Publish", STORED)
    with pytest.raises(ValueError, match="no"):
        await caller.get("failed", fails(ValueError("no")))
    fake.will("GetOrLock", lease(expires_in_ms=60), hit(b"v"))
    fake.will("Extend", LOST)
    assert await caller.get("lost", until_lost) == b"v"
    fake.will("Extend", EXTENDED)
    await until(lambda: sum(shop.seen("rebuilds").values()) == 5)
    assert shop.seen("rebuilds") == {("published",): 2, ("not_stored",): 1, ("failed",): 1, ("lost",): 1}
    assert shop.seen("leases_lost") == {(): 1}


async def test_waits_unreadable_values_and_local_rebuilds_are_counted(
    shop: Application, caller: Caller, fake: FakeService
) -> None:
    fake.will("GetOrLock", busy(1_000))
    with pytest.raises(BusyError):
        await caller.get("k", never_called, wait=0)
    assert shop.seen("wait.duration") == {(): 1}
    fake.will("GetOrLock", hit(b"no JSON"), lease())
    await caller.get("k", gives({}), codec=JSON)
    assert shop.seen("undecodable") == {(): 1}
    fake.will("GetOrLock", unavailable())
    await caller.get("k", gives(b"v"))
    assert shop.seen("local_rebuilds") == {(): 1}


async def test_namespaces_beyond_a_bound_are_counted_together() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics = metrics_of(provider)
    for at in range(102):
        next(metrics.hits(str(at), "service", "fresh").up)
        metrics.rebuilt(str(at), "published")
        metrics.rebuilt_locally(str(at))
        metrics.lost(str(at))
        metrics.undecodable(str(at))
        metrics.waited(str(at), 1)
    data = reader.get_metrics_data()
    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        points = {dict(point.attributes or {})["dibs.namespace"]: point for point in metric.data.data_points}
        assert len(points) == 101, metric.name
        other = points["other"]
        assert (other.value if isinstance(other, NumberDataPoint) else other.count) == 2
    provider.shutdown()


async def test_without_opentelemetry_nothing_is_counted(
    fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "dibs.open_telemetry_metrics", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    fake.will("GetOrLock", hit(b"v"))
    assert await make().get("k", never_called) == b"v"


async def test_the_service_hears_which_client_calls(caller: Caller, fake: FakeService) -> None:
    fake.will("GetOrLock", hit(b"v"))
    await caller.get("k", never_called)
    (heard,) = fake.heard
    assert heard.metadata["user-agent"].startswith("dibs-client-python/0.1.0 grpc-python/")
