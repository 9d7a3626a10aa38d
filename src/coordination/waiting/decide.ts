import { forecast, isDrawnToRefresh } from '../leasing/forecast.js';
import { hitOf } from '../reading/hit-of.js';
import { leaseLeftMs, type Snapshot } from '../reading/snapshot.js';
import type { Busy, Degraded, Failed, Hit, LeaseReason } from '../words/outcome.js';
import type { KeyRecord } from '../words/record.js';

/** What one caller wants, with every default resolved. */
export interface Ask {
  /** No change of the snapshot's value had arrived between its read and this caller ({@link Changes.allow}). */
  allows(snapshot: Snapshot): boolean;
  readonly intent: 'rebuild' | 'read' | 'refresh';
  readonly staleAllowed: boolean;
  readonly storeOnly: boolean;
  /** Position in the order of arrival on this replica. */
  readonly arrival: number;
  /** Identity and request id; empty if the caller gave none. */
  readonly requestKey: string;
  /** The fence of the lease that this caller waits for; 0 for none. */
  readonly waitsForFence: number;
  /** When its wait ends, on the replica's clock; Infinity for a caller that does not wait. */
  readonly waitsUntilMs: number;
  /** {@link refreshDraw} of this caller; 0 if it must not rebuild early. */
  readonly refreshDraw: number;
}

/** What a snapshot means for one caller. It does not decide which of several callers attempts first. */
export type Decision =
  | { readonly act: 'answer'; readonly outcome: Hit | Busy | Failed }
  /** The running lease is this caller's own: an earlier attempt of the same call got it. */
  | { readonly act: 'adopt'; readonly meanwhile?: Hit }
  /** May try for the lease; `meanwhile` serves the callers that are not chosen. */
  | { readonly act: 'attempt'; readonly reason: LeaseReason; readonly meanwhile?: Hit }
  | { readonly act: 'wait' }
  /** The snapshot is older than the call, and the caller needs a newer one. */
  | { readonly act: 'read_again' };

/** A value that is held ready for a caller. */
export interface ReadyHit {
  readonly hit: Hit;
  /** What was missing when the value came; absent if the store has it. */
  readonly degraded: Degraded | undefined;
}

/** Pure. The only place that decides what a caller gets, given what the store holds. */
export function decide(snapshot: Snapshot, ask: Ask, nowMs: number): Decision {
  const isNews = snapshot.from === 'publish';
  // The read was sent after the call came.
  if (!isNews && ask.arrival < snapshot.arrivals) return decideBy(snapshot, ask, nowMs);
  // A read is sent, the key is invalidated, its wake arrives here, and then this caller arrives. What the read returns
  // is too old for this caller, even if it is an absence or a failure.
  if (ask.storeOnly || !ask.allows(snapshot)) return { act: 'read_again' };
  const decision = decideBy(snapshot, ask, nowMs);
  if (isNews) return decision;
  // A value is published, this call arrives, and a read that was sent before both finds no value. What an older
  // snapshot has may serve a caller. What it lacks must neither send a caller away nor make it wait.
  const served = decision.act === 'answer' && decision.outcome.kind === 'hit';
  const mayTry = decision.act === 'attempt' || decision.act === 'adopt';
  return served || mayTry ? decision : { act: 'read_again' };
}

function decideBy(snapshot: Snapshot, ask: Ask, nowMs: number): Decision {
  const rebuilding = leaseLeftMs(snapshot, nowMs) > 0;
  // What this replica remembers of a lost store is not the store's own answer.
  const hit = snapshot.from === 'nowhere' && ask.storeOnly ? undefined : hitOf(snapshot, nowMs, rebuilding);
  if (rebuilding && ask.requestKey !== '' && snapshot.record.lease?.requestKey === ask.requestKey) {
    const serves = hit !== undefined && ask.intent !== 'refresh' && (hit.fresh || ask.staleAllowed);
    return serves ? { act: 'adopt', meanwhile: hit } : { act: 'adopt' };
  }
  if (ask.intent === 'refresh') {
    if (rebuilding) return wait(snapshot, ask, nowMs);
    const failed = refreshFailedOf(snapshot, ask, nowMs);
    return failed === undefined ? { act: 'attempt', reason: 'refresh' } : { act: 'answer', outcome: failed };
  }
  if (hit?.fresh === true) return freshHit(snapshot, ask, nowMs, hit);
  const stale = ask.staleAllowed ? hit : undefined;
  const failed = failedOf(snapshot, ask, nowMs);
  if (failed !== undefined) return { act: 'answer', outcome: stale ?? failed };
  if (rebuilding) return stale === undefined ? wait(snapshot, ask, nowMs) : { act: 'answer', outcome: stale };
  if (ask.intent === 'read') return { act: 'answer', outcome: stale ?? NO_VALUE };
  const reason = reasonOf(snapshot.record);
  return stale === undefined
    ? { act: 'attempt', reason }
    : { act: 'attempt', reason, meanwhile: { ...stale, rebuilding: true } };
}

const NO_VALUE: Busy = { kind: 'busy', retryAfterMs: 0, holderAgeMs: 0, reason: 'no_value' };
const TOO_LATE: Busy = { kind: 'busy', retryAfterMs: 0, holderAgeMs: 0, reason: 'deadline_too_short' };

/** A wait that cannot succeed is refused at once. One that is over by now was not too short: it ends as all waits do. */
function wait(snapshot: Snapshot, ask: Ask, nowMs: number): Decision {
  const earliestMs = forecast(snapshot, nowMs)?.earliestMs ?? 0;
  return earliestMs > 0 && nowMs + earliestMs > ask.waitsUntilMs
    ? { act: 'answer', outcome: TOO_LATE }
    : { act: 'wait' };
}

/** One caller of many is drawn to rebuild a value before it expires. The chance grows as the end comes nearer. */
function freshHit(snapshot: Snapshot, ask: Ask, nowMs: number, hit: Hit): Decision {
  const { rebuild, failure } = snapshot.record;
  const mayRebuild = ask.intent === 'rebuild' && ask.refreshDraw > 0 && !hit.rebuilding;
  if (!mayRebuild || rebuild === undefined || (failure !== undefined && failedOf(snapshot, ask, nowMs))) {
    return { act: 'answer', outcome: hit };
  }
  return isDrawnToRefresh(hit.freshForMs, rebuild, ask.refreshDraw)
    ? { act: 'attempt', reason: 'early_refresh', meanwhile: hit }
    : { act: 'answer', outcome: hit };
}

/**
 * What a snapshot has at `nowMs` for a caller that has tried for the lease. Time has passed since it was read, so its
 * value may be stale or expired by now.
 */
export function stillServing(
  snapshot: Snapshot,
  hit: Hit,
  { staleAllowed }: Pick<Ask, 'staleAllowed'>,
  nowMs: number,
): ReadyHit | undefined {
  const now = hitOf(snapshot, nowMs, hit.rebuilding);
  if (now === undefined || !(now.fresh || staleAllowed)) return undefined;
  return { hit: now, degraded: snapshot.degraded };
}

/**
 * The failure for this caller: the one whose back-off runs, or that of exactly the lease that it waited for, even if
 * the holder asked for no back-off.
 */
function failedOf(snapshot: Snapshot, ask: Ask, nowMs: number): Failed | undefined {
  const failure = snapshot.record.failure;
  if (failure === undefined) return undefined;
  const backoffMs = failure.retryAfterMs - (nowMs - snapshot.readAtMs);
  // If a lease runs, its holder is already trying again: a refresh, or a rebuild after an invalidation.
  const isBackingOff = backoffMs > 0 && leaseLeftMs(snapshot, nowMs) <= 0;
  if (!isBackingOff && failure.fence !== ask.waitsForFence) return undefined;
  return { kind: 'failed', message: failure.message, retryAfterMs: Math.max(0, Math.ceil(backoffMs)) };
}

/**
 * A refresh ends a back-off, at most once in this time for each key of the fleet, because many people may ask for one.
 */
const REFRESH_EVERY_MS = 1_000;

/** The failure for a refresh: of the lease that it waited for, or because another try was just made. */
function refreshFailedOf(snapshot: Snapshot, ask: Ask, nowMs: number): Failed | undefined {
  const failed = failedOf(snapshot, ask, nowMs);
  const { failure } = snapshot.record;
  if (failed === undefined || failure === undefined || failure.fence === ask.waitsForFence) return failed;
  const againInMs =
    REFRESH_EVERY_MS - failure.triedAgoMs - (nowMs - (snapshot.heardAtMs ?? snapshot.readAtMs));
  if (againInMs <= 0) return undefined;
  return { ...failed, retryAfterMs: Math.min(failed.retryAfterMs, Math.ceil(againInMs)) };
}

/** Why a lease is granted now, from how the key's last lease ended. */
function reasonOf(record: KeyRecord): LeaseReason {
  if (record.lease !== undefined) return 'holder_lost';
  switch (record.lastEnd) {
    case undefined:
      return 'miss';
    case 'published':
      return 'expired';
    case 'invalidated':
      return 'invalidated';
    default:
      return 'holder_lost';
  }
}
