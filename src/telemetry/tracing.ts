import { createHash } from 'node:crypto';
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { Span as DomainSpan, Facts, SpanName, Trace, Tracing } from '../coordination/words/trace.js';
import { FineClock } from './fine-clock.js';
import { ATTRIBUTES, SPANS } from './names.js';
import { readTraceparent, writeTraceparent } from './traceparent.js';

export interface TracingParts {
  readonly tracer: Tracer;
  /** Whether to record a call with this traceparent, or without one. */
  sampled(traceparent: string): boolean;
  /** Whether traces may contain the namespace's keys in clear. */
  keysInClear(namespace: string): boolean;
}

/** Statuses that are the server's fault, by gRPC code. The others are regular answers. */
const SERVER_ERRORS = new Set([2, 4, 12, 13, 14, 15]);
const STATUS_NAMES = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
  ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE'],
  ...['UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
];
const KEY_HASH_DIGITS = 16;

/** The calls of this process as OpenTelemetry spans. */
export class OpenTelemetryTracing implements Tracing {
  readonly #clock = new FineClock();

  constructor(private readonly parts: TracingParts) {}

  call(method: string, traceparent: string): Trace | undefined {
    if (!this.parts.sampled(traceparent)) return undefined;
    const { tracer } = this.parts;
    const parent = readTraceparent(traceparent);
    const context = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    const attributes = { [ATTRIBUTES.rpcSystem]: 'grpc', [ATTRIBUTES.rpcMethod]: method };
    const span = tracer.startSpan(
      method,
      { kind: SpanKind.SERVER, attributes, startTime: this.#clock.nowMs() },
      context,
    );
    return new CallSpan(span, this.parts, this.#clock);
  }
}

class CallSpan implements Trace {
  readonly traceparent: string;
  readonly #context: Context;
  #ended = false;
  #about: Attributes = {};

  constructor(
    private readonly span: Span,
    private readonly parts: TracingParts,
    private readonly clock: FineClock,
  ) {
    this.traceparent = writeTraceparent(span.spanContext());
    this.#context = trace.setSpan(ROOT_CONTEXT, span);
  }

  about(namespace: string, key: string): void {
    const isClear = this.parts.keysInClear(namespace);
    this.#about = {
      [ATTRIBUTES.namespace]: namespace,
      ...(isClear ? { [ATTRIBUTES.key]: key } : { [ATTRIBUTES.keyHash]: hashOf(namespace, key) }),
    };
    this.span.setAttributes(this.#about);
  }

  know(facts: Facts): void {
    this.span.setAttributes(attributesOf(facts));
  }

  begin(name: SpanName, facts: Facts = {}): DomainSpan {
    const { tracer } = this.parts;
    const attributes = { ...this.#about, ...attributesOf(facts) };
    const options = { attributes, startTime: this.clock.nowMs() };
    return new ChildSpan(tracer.startSpan(SPANS[name], options, this.#context), tracer, this.clock);
  }

  end(statusCode: number): void {
    if (this.#ended) return;
    this.#ended = true;
    const name = STATUS_NAMES[statusCode] ?? String(statusCode);
    this.span.setAttribute(ATTRIBUTES.rpcStatus, name);
    if (SERVER_ERRORS.has(statusCode)) {
      this.span.setAttribute(ATTRIBUTES.errorType, name);
      this.span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.span.end(this.clock.nowMs());
  }
}

class ChildSpan implements DomainSpan {
  readonly traceparent: string;

  constructor(
    private readonly span: Span,
    private readonly tracer: Tracer,
    private readonly clock: FineClock,
  ) {
    this.traceparent = writeTraceparent(span.spanContext());
  }

  part(name: SpanName, tookMs: number, facts: Facts): void {
    const endedAt = this.clock.nowMs();
    const options = { attributes: attributesOf(facts), startTime: endedAt - tookMs };
    this.tracer.startSpan(SPANS[name], options, trace.setSpan(ROOT_CONTEXT, this.span)).end(endedAt);
  }

  pointTo(traceparent: string): void {
    const context = readTraceparent(traceparent);
    if (context !== undefined) this.span.addLink({ context });
  }

  end(facts: Facts = {}, agoMs = 0): void {
    this.span.setAttributes(attributesOf(facts));
    this.span.end(this.clock.nowMs() - agoMs);
  }
}

function attributesOf(facts: Facts): Attributes {
  const attributes: Attributes = {};
  for (const [fact, value] of Object.entries(facts)) {
    if (value !== undefined) attributes[ATTRIBUTES[fact as keyof Facts]] = value;
  }
  return attributes;
}

/** Distinguishes keys without revealing them. */
function hashOf(namespace: string, key: string): string {
  return createHash('sha256').update(`${namespace}\0${key}`).digest('hex').slice(0, KEY_HASH_DIGITS);
}
