import type { Degraded, Failed } from '../words/outcome.js';
import { type ArmedLease, type MeasuredRecord, PAST_LEASES_MAX, type PastLease } from '../words/record.js';

/** What is known about one key, without its value and without any secret. */
export interface Explanation {
  readonly lease?: Pick<ArmedLease, 'holder' | 'fence' | 'ageMs' | 'expiresInMs' | 'reason' | 'traceparent'>;
  /** On this replica. */
  readonly waiters: number;
  readonly value?: ExplainedValue;
  readonly fence: number;
  /** Newest first. */
  readonly past: readonly PastLease[];
  readonly failed?: Failed;
  readonly degraded: Degraded;
}

export interface ExplainedValue {
  readonly absent: boolean;
  readonly sizeBytes: number;
  readonly ageMs: number;
  /** 0 for a stale one. */
  readonly freshForMs: number;
  /** From now on. */
  readonly staleForMs: number;
  readonly fence: number;
  readonly tags: readonly string[];
}

/** What a record says of its key, in the words of {@link Explanation}. */
export function explanationOf(
  record: MeasuredRecord,
  past: readonly PastLease[],
  known: Pick<Explanation, 'waiters' | 'degraded'>,
): Explanation {
  const { lease, failure, fence } = record;
  const runs = lease !== undefined && lease.expiresInMs > 0;
  return {
    ...known,
    lease: runs ? withoutSecret(lease) : undefined,
    value: explainedValue(record),
    fence,
    past: lease === undefined || runs ? past : [expired(lease), ...past].slice(0, PAST_LEASES_MAX),
    failed:
      failure === undefined || failure.retryAfterMs <= 0
        ? undefined
        : { kind: 'failed', message: failure.message, retryAfterMs: failure.retryAfterMs },
  };
}

function withoutSecret({ holder, fence, ageMs, expiresInMs, reason, traceparent }: ArmedLease) {
  return { holder, fence, ageMs, expiresInMs, reason, traceparent };
}

/** It has expired, and no later lease was granted, which would have recorded its end. */
function expired({ holder, fence, ageMs, expiresInMs }: ArmedLease): PastLease {
  return {
    holder,
    fence,
    heldMs: ageMs + expiresInMs,
    endedAgoMs: -expiresInMs,
    end: 'expired',
    failure: '',
  };
}

function explainedValue({ value }: MeasuredRecord): ExplainedValue | undefined {
  if (value === undefined) return undefined;
  const { sizeBytes, ageMs, freshForMs, servableForMs, fence, tags } = value;
  const staleForMs = servableForMs - freshForMs;
  return {
    absent: sizeBytes === undefined,
    sizeBytes: sizeBytes ?? 0,
    ageMs,
    freshForMs,
    staleForMs,
    fence,
    tags,
  };
}
