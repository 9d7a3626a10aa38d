import type { Explanation } from '../coordination/reading/explanation.js';
import type { Key } from '../coordination/words/key.js';
import type * as domain from '../coordination/words/outcome.js';
import {
  BusyReason,
  Degraded,
  type ExplainResponse,
  ExtendOutcome,
  type ExtendResponse,
  Freshness,
  type GetOrLockResponse,
  type Hit,
  type InvalidateResponse,
  LeaseEnd,
  LeaseReason,
  PublishOutcome,
  type PublishResponse,
  ReleaseOutcome,
  type ReleaseResponse,
} from './generated/dibs/v1/coordinator.js';
import { encodeToken } from './token.js';

const DEGRADED = {
  none: Degraded.DEGRADED_NONE,
  quorum_lost: Degraded.DEGRADED_QUORUM_LOST,
  store_lost: Degraded.DEGRADED_STORE_LOST,
  local: Degraded.DEGRADED_LOCAL,
} satisfies Record<domain.Degraded, Degraded>;

const LEASE_REASONS = {
  miss: LeaseReason.LEASE_REASON_MISS,
  expired: LeaseReason.LEASE_REASON_EXPIRED,
  early_refresh: LeaseReason.LEASE_REASON_EARLY_REFRESH,
  invalidated: LeaseReason.LEASE_REASON_INVALIDATED,
  holder_lost: LeaseReason.LEASE_REASON_HOLDER_LOST,
  refresh: LeaseReason.LEASE_REASON_REFRESH,
} satisfies Record<domain.LeaseReason, LeaseReason>;

const BUSY_REASONS = {
  wait_ended: BusyReason.BUSY_REASON_WAIT_ENDED,
  deadline_too_short: BusyReason.BUSY_REASON_DEADLINE_TOO_SHORT,
  undecided: BusyReason.BUSY_REASON_UNDECIDED,
  budget: BusyReason.BUSY_REASON_BUDGET,
  draining: BusyReason.BUSY_REASON_DRAINING,
  no_value: BusyReason.BUSY_REASON_NO_VALUE,
} satisfies Record<domain.BusyReason, BusyReason>;

const LEASE_ENDS = {
  published: LeaseEnd.LEASE_END_PUBLISHED,
  released: LeaseEnd.LEASE_END_RELEASED,
  failed: LeaseEnd.LEASE_END_FAILED,
  expired: LeaseEnd.LEASE_END_EXPIRED,
  session_lost: LeaseEnd.LEASE_END_SESSION_LOST,
  invalidated: LeaseEnd.LEASE_END_INVALIDATED,
  cancelled: LeaseEnd.LEASE_END_CANCELLED,
} satisfies Record<domain.LeaseEnd, LeaseEnd>;

const PUBLISH_OUTCOMES = {
  stored: PublishOutcome.PUBLISH_OUTCOME_STORED,
  stored_late: PublishOutcome.PUBLISH_OUTCOME_STORED_LATE,
  duplicate: PublishOutcome.PUBLISH_OUTCOME_DUPLICATE,
  superseded: PublishOutcome.PUBLISH_OUTCOME_SUPERSEDED,
  invalidated: PublishOutcome.PUBLISH_OUTCOME_INVALIDATED,
  unknown_lease: PublishOutcome.PUBLISH_OUTCOME_UNKNOWN_LEASE,
  not_stored: PublishOutcome.PUBLISH_OUTCOME_NOT_STORED,
} satisfies Record<domain.PublishOutcome, PublishOutcome>;

const RELEASE_OUTCOMES = {
  released: ReleaseOutcome.RELEASE_OUTCOME_RELEASED,
  not_held: ReleaseOutcome.RELEASE_OUTCOME_NOT_HELD,
} satisfies Record<domain.ReleaseOutcome, ReleaseOutcome>;

const EXTEND_OUTCOMES = {
  extended: ExtendOutcome.EXTEND_OUTCOME_EXTENDED,
  lost: ExtendOutcome.EXTEND_OUTCOME_LOST,
} satisfies Record<domain.ExtendAnswer['outcome'], ExtendOutcome>;

/** How a lease ended. A record of a later version may have an unknown value. */
export function encodeLeaseEnd(end: domain.LeaseEnd): LeaseEnd {
  return LEASE_ENDS[end] ?? LeaseEnd.LEASE_END_UNSPECIFIED;
}

/** Like {@link encodeLeaseEnd}, for the reason of a lease. */
function encodeLeaseReason(reason: domain.LeaseReason): LeaseReason {
  return LEASE_REASONS[reason] ?? LeaseReason.LEASE_REASON_UNSPECIFIED;
}

export function encodeGetOrLock({ outcome, degraded }: domain.GetOrLockAnswer, key: Key): GetOrLockResponse {
  return { outcome: outcomeOf(outcome, key), degraded: DEGRADED[degraded] };
}

export function encodePublish({
  outcome,
  fence,
  counts,
  maybeStored = false,
}: domain.PublishAnswer): PublishResponse {
  return { outcome: PUBLISH_OUTCOMES[outcome], fence, counts, maybeStored };
}

export function encodeRelease(outcome: domain.ReleaseOutcome): ReleaseResponse {
  return { outcome: RELEASE_OUTCOMES[outcome] };
}

export function encodeExtend({ outcome, expiresInMs }: domain.ExtendAnswer): ExtendResponse {
  return { outcome: EXTEND_OUTCOMES[outcome], expiresInMs: Math.floor(expiresInMs) };
}

export function encodeInvalidate({
  keysInvalidated,
  leasesVoided,
}: domain.InvalidateAnswer): InvalidateResponse {
  return { keysInvalidated, leasesVoided };
}

export function encodeExplain({
  lease,
  waiters,
  value,
  fence,
  past,
  failed,
  degraded,
}: Explanation): ExplainResponse {
  return {
    lease: lease && {
      holder: lease.holder,
      fence: lease.fence,
      traceparent: lease.traceparent,
      ageMs: Math.floor(lease.ageMs),
      expiresInMs: Math.floor(lease.expiresInMs),
      reason: encodeLeaseReason(lease.reason),
    },
    waiters,
    value: value && {
      absent: value.absent,
      sizeBytes: value.sizeBytes,
      fence: value.fence,
      tags: [...value.tags],
      freshness: value.freshForMs > 0 ? Freshness.FRESHNESS_FRESH : Freshness.FRESHNESS_STALE,
      ageMs: Math.floor(value.ageMs),
      freshForMs: Math.floor(value.freshForMs),
      staleForMs: Math.floor(value.staleForMs),
    },
    fence,
    pastLeases: past.map(({ holder, fence, heldMs, endedAgoMs, end, failure }) => ({
      holder,
      fence,
      heldMs: Math.floor(heldMs),
      endedAgoMs: Math.floor(endedAgoMs),
      end: encodeLeaseEnd(end),
      failureMessage: failure,
    })),
    failed: failed && { message: failed.message, retryAfterMs: Math.ceil(failed.retryAfterMs) },
    degraded: DEGRADED[degraded],
  };
}

// Times on the wire are whole. Remaining times are rounded down and waiting times up, so that neither side counts on
// time that the other does not have.

function outcomeOf(outcome: domain.GetOrLockAnswer['outcome'], key: Key): GetOrLockResponse['outcome'] {
  switch (outcome.kind) {
    case 'hit':
      return { $case: 'hit', value: hitOf(outcome) };
    case 'lease':
      return {
        $case: 'lease',
        value: {
          token: encodeToken(key, outcome.token),
          fence: outcome.fence,
          expiresInMs: Math.floor(outcome.expiresInMs),
          previous: outcome.previous === undefined ? undefined : hitOf(outcome.previous),
          reason: encodeLeaseReason(outcome.reason),
        },
      };
    case 'busy':
      return {
        $case: 'busy',
        value: {
          retryAfterMs: Math.ceil(outcome.retryAfterMs),
          holderAgeMs: Math.ceil(outcome.holderAgeMs),
          reason: BUSY_REASONS[outcome.reason],
        },
      };
    case 'failed':
      return {
        $case: 'failed',
        value: { message: outcome.message, retryAfterMs: Math.ceil(outcome.retryAfterMs) },
      };
  }
}

function hitOf({ payload, fresh, freshForMs, fence, tags, rebuilding }: domain.Hit): Hit {
  return {
    payload:
      payload.kind === 'absent' ? { $case: 'absent', value: true } : { $case: 'value', value: payload.bytes },
    freshness: fresh ? Freshness.FRESHNESS_FRESH : Freshness.FRESHNESS_STALE,
    freshForMs: Math.floor(freshForMs),
    fence,
    rebuilding,
    tags: { names: tags as string[] },
  };
}
