import {
  type Context,
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { failureMessage } from './failure-message.js';
import type { PublishOutcome } from './outcomes.js';

/** The W3C traceparent of the current span of the calling code; undefined without OpenTelemetry's SDK. */
export function currentTraceparent(): string | undefined {
  const span = trace.getActiveSpan();
  return span === undefined ? undefined : written(span.spanContext());
}

/** One rebuild in its caller's trace, where waiters in other processes find it. Costs nothing without an SDK. */
export class RebuildSpan {
  /** For the calls that end the lease. */
  readonly traceparent: string | undefined;
  readonly #span: Span;
  readonly #context: Context;

  /** A child of the current span, or of the one that `traceparent` names. */
  constructor(
    lease: { readonly namespace: string; readonly reason: string; readonly fence: number },
    traceparent: string | undefined,
  ) {
    const parent = parentOf(traceparent);
    const attributes = {
      'dibs.namespace': lease.namespace || 'default',
      'dibs.lease.reason': lease.reason,
      'dibs.fence': lease.fence,
    };
    this.#span = trace.getTracer('@dibs/client').startSpan('dibs.rebuild', { attributes }, parent);
    this.#context = trace.setSpan(parent, this.#span);
    this.traceparent = written(this.#span.spanContext()) ?? traceparent;
  }

  /** Runs it with this span as the current one. */
  run<T>(rebuild: () => Promise<T>): Promise<T> {
    return context.with(this.#context, rebuild);
  }

  published(outcome: PublishOutcome): void {
    this.#span.setAttribute('dibs.publish.outcome', outcome);
  }

  failed(error: unknown): void {
    try {
      this.#span.recordException(error instanceof Error ? error : failureMessage(error));
    } catch {
      // An error whose fields cannot be read has no text.
    }
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
  }

  end(): void {
    this.#span.end();
  }
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

function parentOf(traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return context.active();
  const named = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  return trace.setSpanContext(ROOT_CONTEXT, named);
}

function written(span: SpanContext): string | undefined {
  if (!isSpanContextValid(span)) return undefined;
  return `00-${span.traceId}-${span.spanId}-0${span.traceFlags & 1}`;
}
