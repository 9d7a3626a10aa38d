"""The counts of a client, for metrics."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

Source = Literal["near", "service", "joined"]
RebuildOutcome = Literal["published", "not_stored", "failed", "lost"]


class Count:
    """A number that any thread raises with `next` on `up`, without a lock and without losing any."""

    def __init__(self) -> None:
        self.up = count()
        self._looks = 0

    def look(self) -> int:
        """How often it was raised. Only one thread at a time may call it."""
        # Reading raises it too.
        so_far = next(self.up) - self._looks
        self._looks += 1
        return so_far


class Metrics:
    """Where events are counted: nowhere, unless OpenTelemetry is installed."""

    def hits(self, namespace: str, source: Source, freshness: str) -> Count:
        """The counter to raise with each hit."""
        return Count()

    def waited(self, namespace: str, seconds: float) -> None:
        """A call waited for another caller's rebuild."""

    def rebuilt(self, namespace: str, outcome: RebuildOutcome) -> None:
        """A rebuild under a lease has ended."""

    def rebuilt_locally(self, namespace: str) -> None:
        """A rebuild without the service begins."""

    def lost(self, namespace: str) -> None:
        """A lease was lost during its rebuild."""

    def undecodable(self, namespace: str) -> None:
        """The codec could not read a value."""


def metrics_by(provider: MeterProvider | None) -> Metrics:
    """With OpenTelemetry if that is installed; `provider` replaces its global one."""
    try:
        from dibs.open_telemetry_metrics import metrics_of
    except ModuleNotFoundError:
        return Metrics()
    return metrics_of(provider)
