"""Traces with OpenTelemetry's API, which does nothing unless the application has an SDK."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dibs.errors import message_of
from dibs.tracing import RebuildSpan, Trace, Tracing

_PROPAGATOR = TraceContextTextMapPropagator()


class OpenTelemetryTracing(Tracing):
    def __init__(self, provider: TracerProvider | None) -> None:
        # It also works with a global provider that the application sets later.
        self._tracer = trace.get_tracer("dibs", tracer_provider=provider)

    def of_caller(self, traceparent: str = "") -> Trace:
        current = context.get_current()
        if traceparent == "":
            return _Trace(_traceparent_of(trace.get_current_span(current)), current, self._tracer)
        # Text that is no traceparent is passed on unchanged, and has no effect.
        return _Trace(traceparent, _PROPAGATOR.extract({"traceparent": traceparent}, current), self._tracer)


class _Trace(Trace):
    def __init__(self, traceparent: str, parent: Context, tracer: Tracer) -> None:
        super().__init__(traceparent)
        self._parent = parent
        self._tracer = tracer

    def rebuild(self, namespace: str, reason: str, fence: int) -> RebuildSpan:
        span = self._tracer.start_span(
            "dibs.rebuild",
            self._parent,
            attributes={"dibs.namespace": namespace or "default", "dibs.lease.reason": reason, "dibs.fence": fence},
        )
        return _RebuildSpan(_traceparent_of(span) or self.traceparent, span, self._parent)


class _RebuildSpan(RebuildSpan):
    def __init__(self, traceparent: str, span: Span, parent: Context) -> None:
        super().__init__(traceparent)
        self._span = span
        self._within = trace.set_span_in_context(span, parent)

    @contextmanager
    def current(self) -> Generator[None]:
        token = context.attach(self._within)
        try:
            yield
        finally:
            context.detach(token)

    def published(self, outcome: str) -> None:
        # A publish that was repeated in the background may come after the end.
        if self._span.is_recording():
            self._span.set_attribute("dibs.publish.outcome", outcome)

    def end(self, error: Exception | None) -> None:
        if error is not None:
            # The text of an error is its author's code, which may fail, and must not end the call.
            with suppress(Exception):
                self._span.record_exception(error)
            self._span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {message_of(error)}")
        self._span.end()


def _traceparent_of(span: Span) -> str:
    """The W3C traceparent of the span; empty if it has none."""
    its = span.get_span_context()
    if not its.is_valid:
        return ""
    return f"00-{trace.format_trace_id(its.trace_id)}-{trace.format_span_id(its.span_id)}-{its.trace_flags:02x}"
