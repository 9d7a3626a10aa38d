/** A part of a call that its trace shows. */
export type SpanName = 'look' | 'acquire' | 'vote' | 'arm' | 'wait' | 'lease' | 'publish';

/** What a trace says about a call or a span. Nothing secret. */
export interface Facts {
  /** The outcome of a call, in the words of {@link Observer}. */
  readonly outcome?: string;
  readonly degraded?: string;
  /** Of a read: what the record had for this call. */
  readonly found?: 'fresh' | 'stale' | 'nothing';
  /** Of an attempt: what the lock nodes decided, and what each of them voted. */
  readonly ballot?: string;
  readonly node?: string;
  readonly vote?: string;
  readonly armed?: boolean;
  /** Of a step at the store: its reply was late. */
  readonly late?: boolean;
  /** Of a wait: what ended it, and its place in the line at the beginning, from 1. */
  readonly endedBy?: string;
  readonly position?: number;
  /** Of a wait: the holder of the last lease that it waited for, by the holder's own label. */
  readonly holder?: string;
  /** Of a lease, or of the last lease that a wait was for. */
  readonly fence?: number;
  /** Of a lease. */
  readonly reason?: string;
  readonly leaseEnd?: string;
  /** Callers of this replica that waited and got what was published; those of other replicas are not known here. */
  readonly servedHere?: number;
}

/**
 * The trace of one call, for people. Telemetry implements it. It is passed on explicitly, because calls share reads,
 * and no ambient context could tell whose they are. It cannot change a decision.
 */
export interface Trace {
  /** The W3C traceparent of the call itself. */
  readonly traceparent: string;
  /** A span that begins now. A trace does not show a span that never ends. */
  begin(name: SpanName, facts?: Facts): Span;
  /** What the call is about. */
  about(namespace: string, key: string): void;
  know(facts: Facts): void;
  /** The call was answered with this gRPC status; the first one counts. */
  end(statusCode: number): void;
}

/** A part of a call, with its own beginning and end. */
export interface Span {
  /** The W3C traceparent by which others can point at it. */
  readonly traceparent: string;
  /** A part of it that has just ended and took `tookMs`. */
  part(name: SpanName, tookMs: number, facts: Facts): void;
  /** Links it to the span with this W3C traceparent; does nothing if that is empty. */
  pointTo(traceparent: string): void;
  /** It ended `agoMs` before now, because an end elsewhere becomes known later. */
  end(facts?: Facts, agoMs?: number): void;
}

/** Decides which calls are traced. */
export interface Tracing {
  /** A call of a method (`dibs.v1.CoordinatorService/GetOrLock`) whose caller sent this traceparent, or none. */
  call(method: string, traceparent: string): Trace | undefined;
}
