"""Metrics with OpenTelemetry's API, which does nothing unless the application has an SDK."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from dibs.metrics import Count, Metrics, RebuildOutcome, Source
from dibs.version import VERSION

#: Seconds: from an answer over the network to the longest default wait.
_WAIT_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

#: Bounds the memory. Calls of further namespaces are counted together, as in the metrics of the service.
_NAMESPACES_MAX = 100
_OTHERS = "other"


class OpenTelemetryMetrics(Metrics):
    """One for each provider, because two of the same name would be two metrics of the same name."""

    def __init__(self, provider: MeterProvider | None) -> None:
        # It also works with a global provider that the application sets later.
        meter = metrics.get_meter("dibs-client", VERSION, meter_provider=provider)
        self._hits: dict[tuple[str, Source, str], Count] = {}
        self._names: set[str] = set()
        self._lock = threading.Lock()
        meter.create_observable_counter(
            "dibs.client.hits", [self._observe], "{hit}", "Calls that were answered with a value, and without a rebuild"
        )
        self._rebuilds = meter.create_counter("dibs.client.rebuilds", "{rebuild}", "Rebuilds under a lease, by outcome")
        self._local = meter.create_counter(
            "dibs.client.local_rebuilds", "{rebuild}", "Rebuilds while the service could not be reached"
        )
        self._lost = meter.create_counter("dibs.client.leases_lost", "{lease}", "Leases lost while their rebuild ran")
        self._undecodable = meter.create_counter(
            "dibs.client.undecodable", "{value}", "Values that the codec could not read"
        )
        self._waits = meter.create_histogram(
            "dibs.client.wait.duration",
            "s",
            "How long calls waited for another caller's rebuild",
            explicit_bucket_boundaries_advisory=_WAIT_BOUNDS_S,
        )

    def hits(self, namespace: str, source: Source, freshness: str) -> Count:
        labels = (self._name(namespace), source, freshness)
        known = self._hits.get(labels)
        if known is not None:
            return known
        with self._lock:
            return self._hits.setdefault(labels, Count())

    def waited(self, namespace: str, seconds: float) -> None:
        self._waits.record(seconds, {"dibs.namespace": self._name(namespace)})

    def rebuilt(self, namespace: str, outcome: RebuildOutcome) -> None:
        self._rebuilds.add(1, {"dibs.namespace": self._name(namespace), "dibs.outcome": outcome})

    def rebuilt_locally(self, namespace: str) -> None:
        self._local.add(1, {"dibs.namespace": self._name(namespace)})

    def lost(self, namespace: str) -> None:
        self._lost.add(1, {"dibs.namespace": self._name(namespace)})

    def undecodable(self, namespace: str) -> None:
        self._undecodable.add(1, {"dibs.namespace": self._name(namespace)})

    def _name(self, namespace: str) -> str:
        """The namespace in the attributes of each metric."""
        name = namespace or "default"
        if name in self._names:
            return name
        with self._lock:
            if len(self._names) >= _NAMESPACES_MAX:
                return name if name in self._names else _OTHERS
            self._names.add(name)
        return name

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            seen = [(labels, count.look()) for labels, count in self._hits.items()]
        for (namespace, source, freshness), so_far in seen:
            # A counter that a client has made in advance has nothing to report yet.
            if so_far > 0:
                words = {"dibs.namespace": namespace, "dibs.source": source, "dibs.freshness": freshness}
                yield Observation(so_far, words)


_BY_PROVIDER: WeakKeyDictionary[MeterProvider, OpenTelemetryMetrics] = WeakKeyDictionary()
_of_global: list[OpenTelemetryMetrics] = []
_LOCK = threading.Lock()


def metrics_of(provider: MeterProvider | None) -> OpenTelemetryMetrics:
    """The metrics of the provider; of OpenTelemetry's global one without it."""
    with _LOCK:
        if provider is not None:
            if provider not in _BY_PROVIDER:
                _BY_PROVIDER[provider] = OpenTelemetryMetrics(provider)
            return _BY_PROVIDER[provider]
        if not _of_global:
            _of_global.append(OpenTelemetryMetrics(None))
        return _of_global[0]
