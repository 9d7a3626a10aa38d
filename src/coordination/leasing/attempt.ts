import type { Snapshot } from '../reading/snapshot.js';
import type { Call } from '../words/call.js';
import type { Key } from '../words/key.js';
import type { Degraded, Lease, LeaseReason, UndecidedBy } from '../words/outcome.js';
import type { LeaseLabels, RecordFacts } from '../words/record.js';
import type { GetOrLock } from '../words/requests.js';
import type { Token } from '../words/token.js';
import type { Span } from '../words/trace.js';
import type { EarlyVotes } from './votes.js';

/** A caller that may be given a lease. */
export interface Candidate {
  readonly request: GetOrLock;
  readonly call: Call;
  /** Identity and request id; empty if the caller gave none. */
  readonly requestKey: string;
  readonly staleAllowed: boolean;
  /** Answered, failed, or its caller has left: give it nothing more. */
  readonly gone: boolean;
  /** When its attempts began to find lock nodes that are only late; undefined if the last one did not. */
  nodesLateSinceMs: number | undefined;
}

/** The result of one attempt to get a lease. */
export type Attempt =
  | {
      readonly kind: 'granted';
      readonly lease: Lease;
      readonly degraded: Degraded;
      readonly snapshot: Snapshot | undefined;
    }
  /** The store had something newer than the snapshot: read again. */
  | { readonly kind: 'read_again' }
  /** The namespace has no free rebuild slot now. */
  | { readonly kind: 'held_back' }
  /** Another caller holds it, and the lock nodes agree with the record. */
  | { readonly kind: 'held' }
  /** No winner: try again after a pause. */
  | { readonly kind: 'undecided'; readonly by: UndecidedBy }
  /** The caller left during the attempt, and the attempt has left nothing behind. */
  | { readonly kind: 'abandoned' };

/** Who an attempt is for, why, and on which snapshot. */
export interface Tried {
  readonly waiter: Candidate;
  readonly reason: LeaseReason;
  readonly snapshot: Snapshot;
  /** How many callers have arrived at this replica before now. */
  arrivals(): number;
  /**
   * `waiter` has left: the caller that takes over its attempt, with the same identity and for the same lease. Undefined
   * if there is none.
   */
  next(): Candidate | undefined;
  /** Votes that were requested together with the read. */
  readonly early?: EarlyVotes | undefined;
}

/** The same, with the lease that is asked for. */
export interface Grant extends Tried {
  readonly key: Key;
  readonly leaseMs: number;
}

/** For the next caller if its own has left; undefined if no caller is left. */
export function forWhoIsHere(grant: Grant): Grant | undefined {
  if (!grant.waiter.gone) return grant;
  const next = grant.next();
  return next && { ...grant, waiter: next };
}

/**
 * What a refused arm means. Mostly, the record has changed since it was read. If it has not, it keeps the next lease
 * back, because the last one may have been extended without the store. Another read would find the same, so a pause
 * comes first.
 */
export function unarmed({ record }: Snapshot, { fence, valueFence, lease }: RecordFacts): Attempt {
  const isSame = fence === record.fence && valueFence === record.valueFence;
  const isOver = lease !== undefined && lease.expiresInMs <= 0;
  return isSame && isOver ? { kind: 'undecided', by: 'other_lock_nodes' } : { kind: 'read_again' };
}

/** What the record says about the caller that has the lease. */
export function labelsOf({ waiter, leaseMs, reason }: Grant, span: Span | undefined): LeaseLabels {
  const { request, call, requestKey } = waiter;
  const traceparent = span?.traceparent ?? call.traceparent;
  return { leaseMs, holder: request.holder, traceparent, requestKey, reason };
}

/** A lease as it was granted, and how many times it was handed out. */
export interface Given {
  readonly token: Token;
  readonly owner: number;
  readonly untilMs: number;
  /** The end that the store has confirmed, if any. */
  readonly storedUntilMs?: number | undefined;
  readonly reason: LeaseReason;
  /**
   * The count of changes when it was first granted; default: now. Its holder may have read the source at any time
   * since, so a later change may be missing from what it read. -Infinity on a replica that did not grant it.
   */
  readonly givenAt?: number;
}
