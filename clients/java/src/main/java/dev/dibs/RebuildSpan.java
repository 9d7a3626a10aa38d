package dev.dibs;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import java.util.Locale;

/**
 * The span of one rebuild.
 *
 * @param within what the rebuild's own spans are part of
 * @param traceparent what the calls of the rebuild pass on; empty if there is nothing
 */
record RebuildSpan(Span span, Context within, String traceparent) {
  private static final AttributeKey<String> OUTCOME = AttributeKey.stringKey("dibs.publish.outcome");

  void published(PublishOutcome outcome) {
    span.setAttribute(OUTCOME, outcome.name().toLowerCase(Locale.ROOT));
  }

  /** {@code error} is null if there is a value. */
  void end(Throwable error) {
    try {
      if (error != null) {
        span.setStatus(StatusCode.ERROR);
        span.recordException(error);
        span.setStatus(StatusCode.ERROR, error.toString());
      }
    } catch (Throwable fault) {
      // The exception is user code, whose message may throw: the span then ends without it.
    }
    span.end();
  }
}
