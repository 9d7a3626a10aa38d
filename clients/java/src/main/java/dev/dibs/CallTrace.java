package dev.dibs;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.context.Context;
import java.util.Locale;

/**
 * The trace of one call; it continues after the caller's thread is no longer involved.
 *
 * @param context what the caller's own spans are part of
 * @param traceparent what is passed on for the caller; empty if there is nothing
 */
record CallTrace(Tracing by, Context context, String traceparent) {
  private static final AttributeKey<String> NAMESPACE = AttributeKey.stringKey("dibs.namespace");
  private static final AttributeKey<String> REASON = AttributeKey.stringKey("dibs.lease.reason");
  private static final AttributeKey<Long> FENCE = AttributeKey.longKey("dibs.fence");

  /** The same trace, for a rebuild that the caller does not wait for. */
  CallTrace alone() {
    return new CallTrace(by, RebuildChain.alone(context), traceparent);
  }

  /** Starts the span of a rebuild. The key is not recorded: keys may be personal data. */
  RebuildSpan rebuild(String namespace, RebuildReason reason, long fence) {
    Span span =
        by.tracer()
            .spanBuilder("dibs.rebuild")
            .setParent(context)
            .setAttribute(NAMESPACE, namespace.isEmpty() ? "default" : namespace)
            .setAttribute(REASON, reason.name().toLowerCase(Locale.ROOT))
            .setAttribute(FENCE, fence)
            .startSpan();
    String own = Tracing.traceparentOf(span);
    return new RebuildSpan(span, context.with(span), own.isEmpty() ? traceparent : own);
  }

  /** In place of a span, for a rebuild that does not run. */
  RebuildSpan noRebuild() {
    return new RebuildSpan(Span.getInvalid(), context, traceparent);
  }
}
