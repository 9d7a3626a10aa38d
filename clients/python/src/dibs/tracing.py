"""The trace that a call is part of, for applications with OpenTelemetry; for all others nothing, as it stands here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class RebuildSpan:
    """The span of one rebuild."""

    def __init__(self, traceparent: str) -> None:
        #: What the calls of the rebuild pass on; empty if there is nothing.
        self.traceparent = traceparent

    def current(self) -> AbstractContextManager[object]:
        """What runs within is part of it."""
        return nullcontext()

    def published(self, outcome: str) -> None:
        """What became of the result."""

    def end(self, error: Exception | None) -> None:
        """Ends it, with the error that the rebuild ended with."""


class Trace:
    """The trace of one call, which goes on when the caller's thread or task has left."""

    def __init__(self, traceparent: str) -> None:
        #: What is passed on for the caller; empty if there is nothing.
        self.traceparent = traceparent

    def rebuild(self, namespace: str, reason: str, fence: int) -> RebuildSpan:
        """Begins the span of a rebuild. It does not name the key: keys may be personal data."""
        return RebuildSpan(self.traceparent)


class Tracing:
    """Where the traces of one client come from."""

    def of_caller(self, traceparent: str = "") -> Trace:
        """The trace that the caller names, else the one that is current."""
        return Trace(traceparent)


def tracing_by(provider: TracerProvider | None) -> Tracing:
    """By OpenTelemetry where that is installed; `provider` in place of its global one."""
    try:
        from dibs.open_telemetry import OpenTelemetryTracing
    except ModuleNotFoundError:
        return Tracing()
    return OpenTelemetryTracing(provider)
