import type { BusyReason } from './errors.js';
import * as wire from './generated/dibs/v1/coordinator.js';

/** What the service answered, in the words of this package. Values that it does not know are `unspecified`. */

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
  /** The bytes that were published; null where the source is known to have nothing. */
  readonly value: Buffer | null;
  readonly freshness: 'fresh' | 'stale';
  /** Milliseconds; 0 for a stale one. */
  readonly freshForMs: number;
  /** 0 where no store gave one. */
  readonly fence: number;
  /** A newer value is on its way. */
  readonly rebuilding: boolean;
}

export interface Lease {
  readonly kind: 'lease';
  /** A secret; never log it. */
  readonly token: string;
  /** 0 where no store gave one. */
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

/** What is known of a key, without its value and without any secret. Times are milliseconds. */
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

export function explanation(response: wire.ExplainResponse): Explanation {
  const { lease, value, pastLeases, failed, degraded, waiters, fence } = response;
  return {
    lease: lease && { ...lease, reason: word<LeaseReason>(wire.LeaseReason, lease.reason, 'LEASE_REASON_') },
    waiters,
    value: value && { ...value, freshness: freshnessOf(value.freshness) },
    fence,
    pastLeases: pastLeases.map((past) => ({
      ...past,
      end: word<LeaseEnd>(wire.LeaseEnd, past.end, 'LEASE_END_'),
    })),
    failed,
    degraded: word<Degraded>(wire.Degraded, degraded, 'DEGRADED_'),
  };
}

function freshnessOf(freshness: wire.Freshness): 'fresh' | 'stale' {
  return freshness === wire.Freshness.FRESHNESS_STALE ? 'stale' : 'fresh';
}

export function getOrLockOutcome({ outcome, degraded }: wire.GetOrLockResponse): GetOrLockOutcome {
  const fleet = { degraded: word<Degraded>(wire.Degraded, degraded, 'DEGRADED_') };
  switch (outcome?.$case) {
    case 'hit':
      return { ...hit(outcome.value), ...fleet };
    case 'lease': {
      const { token, fence, expiresInMs, previous, reason } = outcome.value;
      return {
        kind: 'lease',
        token,
        fence,
        expiresInMs,
        previous: previous === undefined ? undefined : hit(previous),
        reason: word<LeaseReason>(wire.LeaseReason, reason, 'LEASE_REASON_'),
        ...fleet,
      };
    }
    case 'busy': {
      const { retryAfterMs, holderAgeMs, reason } = outcome.value;
      const why = word<BusyReason>(wire.BusyReason, reason, 'BUSY_REASON_');
      return { kind: 'busy', retryAfterMs, holderAgeMs, reason: why, ...fleet };
    }
    case 'failed':
      return { kind: 'failed', ...outcome.value, ...fleet };
    default:
      // An outcome that a later service has: all that this one can say of it is that there is no answer.
      return { kind: 'busy', retryAfterMs: 0, holderAgeMs: 0, reason: 'unspecified', ...fleet };
  }
}

function hit({ payload, freshness, freshForMs, fence, rebuilding }: wire.Hit): Hit {
  return {
    kind: 'hit',
    value: payload?.$case === 'value' ? asBuffer(payload.value) : null,
    freshness: freshnessOf(freshness),
    freshForMs,
    fence,
    rebuilding,
  };
}

export const publishOutcome = (outcome: wire.PublishOutcome) =>
  word<PublishOutcome>(wire.PublishOutcome, outcome, 'PUBLISH_OUTCOME_');
export const releaseOutcome = (outcome: wire.ReleaseOutcome) =>
  word<ReleaseOutcome>(wire.ReleaseOutcome, outcome, 'RELEASE_OUTCOME_');
export const extendOutcome = (outcome: wire.ExtendOutcome) =>
  word<ExtendOutcome>(wire.ExtendOutcome, outcome, 'EXTEND_OUTCOME_');

/** The value's name in the contract, without its prefix and in small letters. */
function word<W extends string>(names: object, value: number, prefix: string): W {
  const name: unknown = Reflect.get(names, value);
  const known = typeof name === 'string' && name.startsWith(prefix);
  return (known ? name.slice(prefix.length).toLowerCase() : 'unspecified') as W;
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
