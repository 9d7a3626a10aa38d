/** What the domain answers. The wire's enums and messages mirror these, and `grpc/encode.ts` maps them. */

import type { Token } from './token.js';

export type Payload = { readonly kind: 'value'; readonly bytes: Uint8Array } | { readonly kind: 'absent' };

/** From the best to the worst. */
export const DEGRADATIONS = ['none', 'quorum_lost', 'store_lost', 'local'] as const;
export type Degraded = (typeof DEGRADATIONS)[number];

/** The same, and first `unknown`: before the first decision. */
export const SHOWN_DEGRADATIONS = ['unknown', ...DEGRADATIONS] as const;
export type ShownDegraded = (typeof SHOWN_DEGRADATIONS)[number];

export type LeaseReason = 'miss' | 'expired' | 'early_refresh' | 'invalidated' | 'holder_lost' | 'refresh';

export type LeaseEnd =
  | 'published'
  | 'released'
  | 'failed'
  | 'expired'
  | 'session_lost'
  | 'invalidated'
  | 'cancelled';

export type BusyReason =
  | 'wait_ended'
  | 'deadline_too_short'
  | 'undecided'
  | 'budget'
  | 'draining'
  | 'no_value';

/**
 * Why an attempt had no winner. `votes`: they were split, or too few. `unknown_lock`: a majority holds a lock, and the
 * record shows no lease for it. `late_nodes`, `late_store`: too few replies came in time. `lease_over`: the lease had
 * no time left. `other_lock_nodes`: other lock nodes may have extended the last lease.
 */
export type UndecidedBy =
  | 'votes'
  | 'unknown_lock'
  | 'late_nodes'
  | 'late_store'
  | 'lease_over'
  | 'other_lock_nodes';

export interface Hit {
  readonly kind: 'hit';
  readonly payload: Payload;
  /** Within its TTL. */
  readonly fresh: boolean;
  /** How long a client may keep it as fresh: 0 for a stale value, and for one that the store does not have. */
  readonly freshForMs: number;
  /** 0 if the store gave none. */
  readonly fence: number;
  readonly tags: readonly string[];
  /** A rebuild of the key runs. */
  readonly rebuilding: boolean;
}

export interface Lease {
  readonly kind: 'lease';
  readonly token: Token;
  /** 0 if the store gave none. */
  readonly fence: number;
  /** Always above 0. */
  readonly expiresInMs: number;
  readonly previous?: Hit;
  readonly reason: LeaseReason;
  /** Its owner number, for {@link Coordinator.giveBack}. */
  readonly owner: number;
}

export interface Busy {
  readonly kind: 'busy';
  readonly retryAfterMs: number;
  /** 0 if there is no holder. */
  readonly holderAgeMs: number;
  readonly reason: BusyReason;
}

export interface Failed {
  readonly kind: 'failed';
  readonly message: string;
  readonly retryAfterMs: number;
}

/** The answer to one GetOrLock. */
export interface GetOrLockAnswer {
  readonly outcome: Hit | Lease | Busy | Failed;
  readonly degraded: Degraded;
}

export type PublishOutcome =
  | 'stored'
  | 'stored_late'
  | 'duplicate'
  | 'superseded'
  | 'invalidated'
  | 'unknown_lease'
  | 'not_stored';

export interface PublishAnswer {
  readonly outcome: PublishOutcome;
  /** The fence under which the key's value is now stored; 0 if there is none. */
  readonly fence: number;
  /**
   * For a stored value: no invalidation of its tags or its namespace has arrived here since the lease was granted.
   * Undefined if nothing was stored, or if that is unknown.
   */
  readonly counts?: boolean | undefined;
  /** For one that is not stored: the publish was sent to the store, which may have stored it anyway. */
  readonly maybeStored?: boolean | undefined;
}

export type ReleaseOutcome = 'released' | 'not_held';

export interface ExtendAnswer {
  readonly outcome: 'extended' | 'lost';
  /** 0 if it is lost. */
  readonly expiresInMs: number;
  /** The store did not answer: a later read does not see the new end. */
  readonly storeLost?: boolean;
}

/** The answer to an extension, and the lease if it moved to the session of that call. */
export interface TakenOver {
  readonly answer: ExtendAnswer;
  readonly taken: Lease | undefined;
}

export interface InvalidateAnswer {
  readonly keysInvalidated: number;
  readonly leasesVoided: number;
}
