import type { BusyReason } from './errors.js';
import * as wire from './generated/dibs/v1/coordinator.js';

/** The service's answers, in the names of this package. Unknown values become `unspecified`. */

export type Degraded = 'none' | 'quorum_lost' | 'store_lost' | 'local' | 'unspecified';

export type LeaseReason =
  | 'miss'
  | 'expired'
  | 'early_refresh'
  | 'invalidated'
  | 'holder_lost'
  | 'refresh'
  | 'unspecified';

export interface Hit {
  readonly kind: 'hit';
  /** The published bytes; null if the source is known to have nothing. */
  readonly value: Buffer | null;
  readonly freshness: 'fresh' | 'stale';
  /** Milliseconds; 0 for a stale value. */
  readonly freshForMs: number;
  /** 0 if the store gave none. */
  readonly fence: number;
  /** A newer value is being rebuilt. */
  readonly rebuilding: boolean;
  /** The tags that can invalidate it; undefined if the replica does not report them. */
  readonly tags?: readonly string[] | undefined;
}

export interface Lease {
  readonly kind: 'lease';
  /** A secret; never log it. */
  readonly token: string;
  /** 0 if the store gave none. */
  readonly fence: number;
  /** Milliseconds from when the answer was sent. */
  readonly expiresInMs: number;
  readonly previous: Hit | undefined;
  readonly reason: LeaseReason;
}

export interface Busy {
  readonly kind: 'busy';
  readonly retryAfterMs: number;
  readonly holderAgeMs: number;
  readonly reason: BusyReason;
}

export interface Failed {
  readonly kind: 'failed';
  readonly message: string;
  readonly retryAfterMs: number;
}

export type GetOrLockOutcome = (Hit | Lease | Busy | Failed) & { readonly degraded: Degraded };

export type PublishOutcome =
  | 'stored'
  | 'stored_late'
  | 'duplicate'
  | 'superseded'
  | 'invalidated'
  | 'unknown_lease'
  | 'not_stored'
  | 'unspecified';

/** The result of a publish. */
export interface Published {
  readonly outcome: PublishOutcome;
  /** The fence of the value that is stored now; 0 if there is none. */
  readonly fence: number;
  /**
   * For a stored value: true if no invalidation has come since the lease; false if one has, so the value is never
   * served as fresh; undefined if the replica does not know.
   */
  readonly counts?: boolean | undefined;
  /** With `not_stored`: the store did not answer, so the value may be stored anyway. */
  readonly maybeStored: boolean;
}

export type ReleaseOutcome = 'released' | 'not_held' | 'unspecified';

export type ExtendOutcome = 'extended' | 'lost' | 'unspecified';

export type LeaseEnd =
  | 'published'
  | 'released'
  | 'failed'
  | 'expired'
  | 'session_lost'
  | 'invalidated'
  | 'cancelled'
  | 'unspecified';

/** What is known about a key, without its value and without any secret. Times are milliseconds. */
export interface Explanation {
  readonly lease:
    | {
        readonly holder: string;
        readonly fence: number;
        readonly ageMs: number;
        readonly expiresInMs: number;
        readonly reason: LeaseReason;
        readonly traceparent: string;
      }
    | undefined;
  /** On the replica that answered. */
  readonly waiters: number;
  readonly value:
    | {
        readonly absent: boolean;
        readonly freshness: 'fresh' | 'stale';
        readonly sizeBytes: number;
        readonly ageMs: number;
        readonly freshForMs: number;
        readonly staleForMs: number;
        readonly fence: number;
        readonly tags: readonly string[];
      }
    | undefined;
  readonly fence: number;
  /** Newest first, at most 16. */
  readonly pastLeases: readonly {
    readonly holder: string;
    readonly fence: number;
    readonly heldMs: number;
    readonly endedAgoMs: number;
    readonly end: LeaseEnd;
    readonly failureMessage: string;
  }[];
  readonly failed: { readonly message: string; readonly retryAfterMs: number } | undefined;
  readonly degraded: Degraded;
}

const degradedOf = wordsOf<Degraded>(wire.Degraded, 'DEGRADED_');
const leaseReasonOf = wordsOf<LeaseReason>(wire.LeaseReason, 'LEASE_REASON_');
const leaseEndOf = wordsOf<LeaseEnd>(wire.LeaseEnd, 'LEASE_END_');
const busyReasonOf = wordsOf<BusyReason>(wire.BusyReason, 'BUSY_REASON_');
export const publishOutcome = wordsOf<PublishOutcome>(wire.PublishOutcome, 'PUBLISH_OUTCOME_');
export const releaseOutcome = wordsOf<ReleaseOutcome>(wire.ReleaseOutcome, 'RELEASE_OUTCOME_');
export const extendOutcome = wordsOf<ExtendOutcome>(wire.ExtendOutcome, 'EXTEND_OUTCOME_');

export function explanation(response: wire.ExplainResponse): Explanation {
  const { lease, value, pastLeases, failed, degraded, waiters, fence } = response;
  return {
    lease: lease && { ...lease, reason: leaseReasonOf(lease.reason) },
    waiters,
    value: value && { ...value, freshness: freshnessOf(value.freshness) },
    fence,
    pastLeases: pastLeases.map((past) => ({
      ...past,
      end: leaseEndOf(past.end),
    })),
    failed,
    degraded: degradedOf(degraded),
  };
}

function freshnessOf(freshness: wire.Freshness): 'fresh' | 'stale' {
  return freshness === wire.Freshness.FRESHNESS_STALE ? 'stale' : 'fresh';
}

export function getOrLockOutcome({ outcome, degraded: fleet }: wire.GetOrLockResponse): GetOrLockOutcome {
  const degraded = degradedOf(fleet);
  switch (outcome?.$case) {
    case 'hit':
      return hitOutcome(outcome.value, degraded);
    case 'lease': {
      const { token, fence, expiresInMs, previous, reason } = outcome.value;
      return {
        kind: 'lease',
        token,
        fence,
        expiresInMs,
        previous: previous === undefined ? undefined : hit(previous),
        reason: leaseReasonOf(reason),
        degraded,
      };
    }
    case 'busy': {
      const { retryAfterMs, holderAgeMs, reason } = outcome.value;
      return { kind: 'busy', retryAfterMs, holderAgeMs, reason: busyReasonOf(reason), degraded };
    }
    case 'failed':
      return { kind: 'failed', ...outcome.value, degraded };
    default:
      // An outcome of a later service. This version only knows that there is no answer.
      return { kind: 'busy', retryAfterMs: 0, holderAgeMs: 0, reason: 'unspecified', degraded };
  }
}

function hit({ payload, freshness, freshForMs, fence, rebuilding, tags }: wire.Hit): Hit {
  return {
    kind: 'hit',
    value: bufferOf(payload),
    freshness: freshnessOf(freshness),
    freshForMs,
    fence,
    rebuilding,
    tags: tags?.names,
  };
}

/** Written out, because a spread would cost several times the rest. */
function hitOutcome(
  { payload, freshness, freshForMs, fence, rebuilding, tags }: wire.Hit,
  degraded: Degraded,
): GetOrLockOutcome {
  return {
    kind: 'hit',
    value: bufferOf(payload),
    freshness: freshnessOf(freshness),
    freshForMs,
    fence,
    rebuilding,
    tags: tags?.names,
    degraded,
  };
}

function bufferOf(payload: wire.Hit['payload']): Buffer | null {
  return payload?.$case === 'value' ? asBuffer(payload.value) : null;
}

/** The words of an enum: each value's name in the contract, without its prefix and in lower case. */
function wordsOf<W extends string>(names: object, prefix: string): (value: number) => W | 'unspecified' {
  const words = new Map<number, W>();
  for (const [name, value] of Object.entries(names)) {
    if (name.startsWith(prefix)) words.set(Number(value), name.slice(prefix.length).toLowerCase() as W);
  }
  return (value) => words.get(value) ?? 'unspecified';
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
