"""The trace of a call, for applications with OpenTelemetry. Without it, nothing happens, as defined here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class RebuildSpan:
    """The span of one rebuild."""

    def __init__(self, traceparent: str) -> None:
        #: The traceparent that the calls of the rebuild pass on; empty if there is none.
        self.traceparent = traceparent

    def current(self) -> AbstractContextManager[object]:
        """Code inside is part of it."""
        return nullcontext()

    def published(self, outcome: str) -> None:
        """The outcome of the result."""

    def end(self, error: Exception | None) -> None:
        """Ends it, with the rebuild's error if there is one."""


class Trace:
    """The trace of one call, which continues when the caller's thread or task has left."""

    def __init__(self, traceparent: str) -> None:
        #: The traceparent to pass on for the caller; empty if there is none.
        self.traceparent = traceparent

    def rebuild(self, namespace: str, reason: str, fence: int) -> RebuildSpan:
        """Begins the span of a rebuild. It does not name the key, because keys may be personal data."""
        return RebuildSpan(self.traceparent)


class Tracing:
    """The source of one client's traces."""

    def of_caller(self, traceparent: str = "") -> Trace:
        """The trace that the caller names, else the current one."""
        return Trace(traceparent)


def tracing_by(provider: TracerProvider | None) -> Tracing:
    """With OpenTelemetry if that is installed; `provider` replaces its global one."""
    try:
        from dibs.open_telemetry import OpenTelemetryTracing
    except ModuleNotFoundError:
        return Tracing()
    return OpenTelemetryTracing(provider)
