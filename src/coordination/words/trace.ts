/** A step on the way of a call that somebody may want to see. */
export type StepName = 'look' | 'acquire' | 'vote' | 'arm' | 'wait' | 'lease' | 'publish';

/** What is known of a call or of a step; everything that is worth knowing, and nothing secret. */
export interface Facts {
  /** What a call was answered, in the words of {@link Observer}. */
  readonly outcome?: string;
  readonly degraded?: string;
  /** Of a read: what the record had for this call. */
  readonly found?: 'fresh' | 'stale' | 'nothing';
  /** Of an attempt: what the lock nodes decided, and each of them said. */
  readonly ballot?: string;
  readonly node?: string;
  readonly vote?: string;
  readonly armed?: boolean;
  /** Of a step at the store: its reply was late. */
  readonly late?: boolean;
  /** Of a wait: what ended it, and the slot in the line at its begin, from 1. */
  readonly endedBy?: string;
  readonly position?: number;
  /** Of a lease. */
  readonly reason?: string;
  readonly fence?: number;
  readonly leaseEnd?: string;
  /** Callers of this replica that waited and got what was published. */
  readonly served?: number;
}

/**
 * What happens on behalf of one call, as it is shown to people; telemetry implements it. Passed from hand to
 * hand, for reads are shared between calls and no ambient context could say whose they are. Nothing that it
 * does can change a decision.
 */
export interface Trace {
  /** The W3C traceparent of the call itself. */
  readonly traceparent: string;
  /** A step that begins now. One that is never ended is never shown. */
  begin(name: StepName, facts?: Facts): Step;
  /** What the call is about. */
  about(namespace: string, key: string): void;
  know(facts: Facts): void;
  /** The call was answered with this gRPC status; the first one counts. */
  end(statusCode: number): void;
}

export interface Step {
  /** The W3C traceparent by which others can point at it. */
  readonly traceparent: string;
  /** A part of it that has just ended and took `tookMs`. */
  part(name: StepName, tookMs: number, facts: Facts): void;
  /** It has to do with what has this W3C traceparent; nothing if that is empty. */
  pointTo(traceparent: string): void;
  end(facts?: Facts): void;
}

/** Decides which calls are traced. */
export interface Tracing {
  /** A call of a method (`dibs.v1.CoordinatorService/GetOrLock`) whose caller sent this traceparent, or none. */
  call(method: string, traceparent: string): Trace | undefined;
}
