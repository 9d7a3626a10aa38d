package dev.dibs;

import io.grpc.Metadata;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;

/** The source of one client's traces: OpenTelemetry, whose API does nothing without an SDK. */
final class Tracing {
  static final Metadata.Key<String> TRACEPARENT = Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER);

  /** A single header, given as its text. */
  private static final TextMapGetter<String> HEADER =
      (traceparent, name) -> name.equals(TRACEPARENT.name()) ? traceparent : null;

  private final OpenTelemetry openTelemetry;

  /** {@code openTelemetry} is null for the global one. */
  Tracing(OpenTelemetry openTelemetry) {
    this.openTelemetry = openTelemetry;
  }

  /** The trace that the caller names, else the current one of this thread. */
  CallTrace ofCaller(String named) {
    Context current = Context.current();
    if (named.isEmpty()) return new CallTrace(this, current, traceparentOf(Span.fromContext(current)));
    // An invalid traceparent is sent unchanged, and has no other effect.
    return new CallTrace(this, W3CTraceContextPropagator.getInstance().extract(current, named, HEADER), named);
  }

  /**
   * Looked up each time: an application may set the global instance later, and a client that had asked earlier would
   * prevent that.
   */
  Tracer tracer() {
    return (openTelemetry == null ? GlobalOpenTelemetry.getOrNoop() : openTelemetry).getTracer("dev.dibs");
  }

  /** The W3C traceparent of a span; empty if there is none. */
  static String traceparentOf(Span span) {
    SpanContext its = span.getSpanContext();
    if (!its.isValid()) return "";
    return "00-" + its.getTraceId() + "-" + its.getSpanId() + "-" + its.getTraceFlags().asHex();
  }
}
