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
  /** Answered, failed, or its caller has left: nothing may be given to it any more. */
  readonly gone: boolean;
  /** Since when its attempts have found lock nodes that are only late; undefined where the last one did not. */
  nodesLateSinceMs: number | undefined;
}

/** What became of one attempt to get a lease. */
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
  /** The caller left while it was being asked for; nothing of the attempt is left. */
  | { readonly kind: 'abandoned' };

/** For whom an attempt is made, why, and on which snapshot. */
export interface Tried {
  readonly waiter: Candidate;
  readonly reason: LeaseReason;
  readonly snapshot: Snapshot;
  /** How many callers have arrived at this replica before now. */
  arrivals(): number;
  /**
   * `waiter` has gone: the caller to whom that which was done for it goes on, of the same identity and for the same lease.
   * Undefined if there is none.
   */
  next(): Candidate | undefined;
  /** Votes that were asked for beside the read. */
  readonly early?: EarlyVotes | undefined;
}

/** The same, with what is asked for. */
export interface Grant extends Tried {
  readonly key: Key;
  readonly leaseMs: number;
}

/** For the next caller if the one that it is for has gone; undefined if no caller is left for it. */
export function forWhoIsHere(grant: Grant): Grant | undefined {
  if (!grant.waiter.gone) return grant;
  const next = grant.next();
  return next && { ...grant, waiter: next };
}

/**
 * What an arm that was refused means: mostly that the record has changed since it was read. If it has not, it keeps the
 * next lease back, because the last one may have been extended where the store does not hear of it. Another read would
 * find the same, so a pause comes first.
 */
export function unarmed({ record }: Snapshot, { fence, valueFence, lease }: RecordFacts): Attempt {
  const isSame = fence === record.fence && valueFence === record.valueFence;
  const isOver = lease !== undefined && lease.expiresInMs <= 0;
  return isSame && isOver ? { kind: 'undecided', by: 'other_lock_nodes' } : { kind: 'read_again' };
}

/** What the record says of the caller that has the lease. */
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
  readonly reason: LeaseReason;
  /**
   * The count of changes when it was first given; default: now. Its holder may have had it from then on, so that a later
   * change may not be in what it read. -Infinity at a replica that did not give it.
   */
  readonly givenAt?: number;
}
