import type { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import type { SignalLike } from './light-signal.js';

/** How one call is made. */
export interface CallTerms {
  /** How long the caller waits for the reply, in milliseconds. */
  readonly deadlineMs: number;
  /** Ends the call, which then rejects with `CANCELLED`. */
  readonly signal?: SignalLike | undefined;
  /** The W3C traceparent to pass on. */
  readonly traceparent?: string | undefined;
}

/**
 * How calls reach the service. Every method rejects only with a {@link DibsError}. It has `retryAfterMs` only if the
 * service itself answered and set it.
 */
export interface Transport {
  getOrLock(request: wire.GetOrLockRequest, terms: CallTerms): Promise<wire.GetOrLockResponse>;
  /** The same without a promise, because a hit costs little more than a few of them. One of the two is called once. */
  askGetOrLock?(
    request: wire.GetOrLockRequest,
    terms: CallTerms,
    answered: (response: wire.GetOrLockResponse) => void,
    failed: (error: DibsError) => void,
  ): void;
  publish(request: wire.PublishRequest, terms: CallTerms): Promise<wire.PublishResponse>;
  release(request: wire.ReleaseRequest, terms: CallTerms): Promise<wire.ReleaseResponse>;
  extend(request: wire.ExtendRequest, terms: CallTerms): Promise<wire.ExtendResponse>;
  invalidate(request: wire.InvalidateRequest, terms: CallTerms): Promise<wire.InvalidateResponse>;
  explain(request: wire.ExplainRequest, terms: CallTerms): Promise<wire.ExplainResponse>;
  /** Each answer as it comes. Iterating rejects like every other method. */
  getOrLockMany(
    request: wire.GetOrLockManyRequest,
    terms: CallTerms,
  ): AsyncIterable<wire.GetOrLockManyResponse>;
  /** The keys that different replicas have, apart from each other. Absent: all of them go together. */
  groupsOf?(keys: readonly string[]): readonly (readonly string[])[];
  /** Resolves when there is a first connection, and rejects if there is none now. */
  ready?(deadlineMs: number): Promise<void>;
  /** Accepts no more calls. Those that were made still end. */
  close(): void;
}

/** One that hits go over: they cost it no promise. */
export interface AskingTransport extends Transport {
  askGetOrLock: NonNullable<Transport['askGetOrLock']>;
}
