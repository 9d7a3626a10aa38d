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

/** Where the traces of one client come from: OpenTelemetry, whose API does nothing where there is no SDK. */
final class Tracing {
  static final Metadata.Key<String> TRACEPARENT = Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER);

  /** Headers of which there is but one, the text itself. */
  private static final TextMapGetter<String> HEADER =
      (traceparent, name) -> name.equals(TRACEPARENT.name()) ? traceparent : null;

  private final OpenTelemetry openTelemetry;

  /** {@code openTelemetry} is null for the global one. */
  Tracing(OpenTelemetry openTelemetry) {
    this.openTelemetry = openTelemetry;
  }

  /** The trace that the caller names, else the one that is current on this thread. */
  CallTrace ofCaller(String named) {
    Context current = Context.current();
    if (named.isEmpty()) return new CallTrace(this, current, traceparentOf(Span.fromContext(current)));
    // A text that is no traceparent is passed on as it is, and changes nothing.
    return new CallTrace(this, W3CTraceContextPropagator.getInstance().extract(current, named, HEADER), named);
  }

  /** Of the moment: an application may set the global one later, and a client that had asked for it would forbid that. */
  Tracer tracer() {
    return (openTelemetry == null ? GlobalOpenTelemetry.getOrNoop() : openTelemetry).getTracer("dev.dibs");
  }

  /** The W3C traceparent of a span; empty, and for nothing, where it is none. */
  static String traceparentOf(Span span) {
    SpanContext its = span.getSpanContext();
    if (!its.isValid()) return "";
    return "00-" + its.getTraceId() + "-" + its.getSpanId() + "-" + its.getTraceFlags().asHex();
  }
}
