import type { LeaseEnd, LeaseReason, Payload } from './outcome.js';

/**
 * What the value store knows about one key, at one instant of the store's own clock. All times are relative to that
 * instant, so no replica ever compares its clock with the store's.
 */
export interface KeyRecord extends RecordFacts {
  /** Present only while it may still be served, fresh or stale. */
  readonly value?: StoredValue;
}

/** A record for people: with the size of its value instead of the value. */
export interface MeasuredRecord extends RecordFacts {
  readonly value?: MeasuredValue;
}

/** A record without its value, which may be large. */
export interface RecordFacts {
  /** The highest fence ever given for the key; 0 if the store has no record. */
  readonly fence: number;
  /** The fence of the last stored value, even if that value is gone by now; 0 for none. */
  readonly valueFence: number;
  /** The armed lease, even after it has expired, until it is ended or superseded. */
  readonly lease?: ArmedLease;
  /** The last failure, until a publish clears it. */
  readonly failure?: StoredFailure;
  /** How long the key's rebuilds take; absent until one was published. */
  readonly rebuild?: RebuildTimes;
  /** How the last lease that is no longer armed ended. */
  readonly lastEnd?: LeaseEnd;
  /** The nonce that the last invalidation voided: its lock on the quorum may be broken by anyone. */
  readonly voidedNonce?: string;
}

export interface StoredValue extends ValueFacts {
  readonly payload: Payload;
}

export interface MeasuredValue extends ValueFacts {
  /** The size of its bytes; undefined if it is "absent". */
  readonly sizeBytes: number | undefined;
}

/** What is known about a value, without its payload. */
export interface ValueFacts {
  /** Above 0 while fresh; 0 when it is stale. */
  readonly freshForMs: number;
  /** Above 0: how long it may still be served at all, fresh and stale together. */
  readonly servableForMs: number;
  /** How long it may be served stale after it was fresh. */
  readonly staleMs: number;
  /** How long ago it was published. */
  readonly ageMs: number;
  readonly fence: number;
  /** The namespace's tag clock when its lease was given: it counts only if no stamp of its tags is later. */
  readonly clock: string;
  readonly tags: readonly string[];
}

export interface ArmedLease {
  readonly nonce: string;
  readonly fence: number;
  /** 0 or less when its time has run out and no other was armed since. */
  readonly expiresInMs: number;
  /** The length that it was granted for. */
  readonly leaseMs: number;
  readonly ageMs: number;
  readonly holder: string;
  readonly traceparent: string;
  readonly reason: LeaseReason;
  /** Identity and request id of the caller that it was granted to, as {@link ArmRequest.requestKey}. */
  readonly requestKey: string;
  /** Raised each time that the same lease is handed out again; a give-back must name the current one. */
  readonly owner: number;
  /** Given or last extended without the quorum. */
  readonly quorumLost: boolean;
}

/** What a lease's record says about its holder. */
export type LeaseLabels = Pick<ArmedLease, 'leaseMs' | 'holder' | 'traceparent' | 'reason' | 'requestKey'>;

/**
 * A running mean of rebuild times and of how far they stray from it, in milliseconds: the estimator that
 * TCP has for its round trips (Jacobson, "Congestion avoidance and control", 1988), gains 1/8 and 1/4.
 */
export interface RebuildTimes {
  readonly meanMs: number;
  readonly deviationMs: number;
}

/** A lease that has ended. */
export interface PastLease {
  readonly holder: string;
  readonly fence: number;
  readonly heldMs: number;
  readonly endedAgoMs: number;
  readonly end: LeaseEnd;
  /** Empty unless it failed; at most {@link PAST_FAILURE_BYTES_MAX} bytes of what the holder said. */
  readonly failure: string;
}

/** How many ended leases of a key are remembered, if they fit into {@link PAST_BYTES_MAX}. The last one always is. */
export const PAST_LEASES_MAX = 16;
/** A record outlives its value, and most are small. Ended leases must not take most of the store's memory. */
export const PAST_BYTES_MAX = 2_048;
export const PAST_FAILURE_BYTES_MAX = 256;

export interface StoredFailure {
  readonly message: string;
  /** The fence of the lease that failed. */
  readonly fence: number;
  /** Above 0 while the back-off runs. */
  readonly retryAfterMs: number;
  /** Failures in a row. */
  readonly count: number;
  /** How long ago the key's last lease was given; if the store's clock was set back since, how long ago it failed. */
  readonly triedAgoMs: number;
  /** The namespace's tag clock when the lease that failed was granted; empty if unknown. */
  readonly clock: string;
}

/** What an absent record looks like. */
export const NO_RECORD: KeyRecord = Object.freeze({ fence: 0, valueFence: 0 });
