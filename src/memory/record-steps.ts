import type {
  ArmReply,
  ArmRequest,
  HandOver,
  StoredAnswer,
  StoredOutcome,
  StoreExtend,
  StoreExtended,
  StoreInvalidate,
  StoreInvalidated,
  StorePublish,
  StoreRelease,
} from '../coordination/ports/value-store.js';
import { WAKE_VALUE_BYTES_MAX, type Wake } from '../coordination/ports/wake-channel.js';
import type { LeaseEnd, ReleaseOutcome } from '../coordination/words/outcome.js';
import {
  PAST_BYTES_MAX,
  PAST_FAILURE_BYTES_MAX,
  PAST_LEASES_MAX,
  type RebuildTimes,
  type RecordFacts,
} from '../coordination/words/record.js';
import {
  BLANK,
  facts,
  type MemoryFailure,
  type MemoryLease,
  type MemoryPast,
  type MemoryRecord,
  type MemoryValue,
  servable,
} from './memory-record.js';

/** What one step makes of a record: the next record, the reply, and the wake if it sends one. */
export interface Stepped<T> {
  readonly record: MemoryRecord | undefined;
  readonly reply: T;
  readonly wake?: Omit<Wake, 'id'>;
}

type Maybe = MemoryRecord | undefined;

/** The record's past with the lease that has just ended. */
function remembered(
  { lease, fence, past = [] }: MemoryRecord,
  end: LeaseEnd,
  endedAtMs: number,
  failure = '',
): readonly MemoryPast[] {
  if (lease === undefined) return past;
  const { holder, armedAtMs } = lease;
  const said = Buffer.from(failure).subarray(0, PAST_FAILURE_BYTES_MAX).toString();
  const ended = { holder, fence, heldMs: endedAtMs - armedAtMs, endedAtMs, end, failure: said };
  const kept: MemoryPast[] = [ended];
  let bytes = bytesOf(ended);
  for (const earlier of past) {
    bytes += bytesOf(earlier);
    if (kept.length === PAST_LEASES_MAX || bytes > PAST_BYTES_MAX) break;
    kept.push(earlier);
  }
  return kept;
}

/** The size of its line of JSON on Redis, give or take some digits. */
function bytesOf({ holder, failure }: MemoryPast): number {
  return Buffer.byteLength(holder) + Buffer.byteLength(failure) + 120;
}

export function arm(record: Maybe, request: ArmRequest, nowMs: number): Stepped<ArmReply> {
  const { nonce, quorumLost, group } = request;
  const seen = record ?? BLANK;
  const { fence, lease: before } = seen;
  const again = before?.nonce === nonce;
  const asRead = fence === request.fenceRead && seen.valueFence === request.valueFenceRead;
  const running = before !== undefined && before.untilMs > nowMs;
  // Its holder may have extended it at the lock nodes while this store was late.
  const mayRun = before !== undefined && before.untilMs + request.silenceMs > nowMs;
  // Lock nodes keep two leases apart that are both theirs. Any other two are kept apart by the record alone.
  const isOfOthers = quorumLost || before?.group !== group;
  const inTheWay = (running && before.quorumLost) || (mayRun && isOfOthers);
  if (again || !asRead || inTheWay) return { record, reply: { armed: again, record: facts(record, nowMs) } };
  const { leaseMs, holder, traceparent, reason, requestKey, expiresInMs, clock } = request;
  const lease: MemoryLease = {
    nonce,
    leaseMs,
    holder,
    traceparent,
    reason,
    requestKey,
    owner: 1,
    quorumLost,
    group,
    clock,
    armedAtMs: nowMs,
    untilMs: nowMs + expiresInMs,
  };
  const next = kept(
    {
      ...seen,
      fence: nextFence(record, nowMs),
      lease,
      lastEnd: before === undefined ? seen.lastEnd : 'expired',
      past: remembered(seen, 'expired', Math.min(nowMs, before?.untilMs ?? nowMs)),
    },
    nowMs,
    request.keepMs,
  );
  return { record: next, reply: { armed: true, record: facts(next, nowMs) } };
}

export function adopt(
  record: Maybe,
  nonce: string,
  nowMs: number,
  to?: HandOver,
): Stepped<RecordFacts | undefined> {
  const lease = record?.lease;
  if (record === undefined || lease?.nonce !== nonce) return { record, reply: undefined };
  if (to !== undefined && to.owner !== lease.owner) return { record, reply: undefined };
  const next = { ...record, lease: { ...lease, ...to, owner: lease.owner + 1 } };
  return { record: next, reply: facts(next, nowMs) };
}

export function publish(record: Maybe, request: StorePublish, nowMs: number): Stepped<StoredAnswer> {
  const { nonce, payload, ttlMs, staleMs, tags } = request;
  if (record?.lease?.nonce !== nonce) {
    const fence = record !== undefined && servable(record, nowMs) ? record.valueFence : 0;
    const outcome = whyNotStored(record, request);
    const clock = outcome === 'duplicate' ? (record?.value?.clock ?? '') : '';
    return { record, reply: { outcome, fence, clock } };
  }
  const { lease } = record;
  const freshUntilMs = nowMs + ttlMs;
  const { clock } = lease;
  const servableUntilMs = freshUntilMs + staleMs;
  const value = { payload, publishedAtMs: nowMs, freshUntilMs, servableUntilMs, clock, tags };
  const next = kept(
    {
      ...record,
      valueFence: record.fence,
      value,
      lease: undefined,
      failure: undefined,
      rebuild: learned(record.rebuild, nowMs - lease.armedAtMs),
      lastEnd: 'published',
      done: nonce,
      past: remembered(record, 'published', nowMs),
    },
    nowMs,
    request.keepMs,
  );
  return {
    record: next,
    reply: { outcome: lease.untilMs > nowMs ? 'stored' : 'stored_late', fence: record.fence, clock },
    wake: {
      kind: 'published',
      fence: record.fence,
      stored: storedWith(next, request, lease, nowMs),
    },
  };
}

/** Undefined if it is too large for a wake. */
function storedWith(
  { rebuild }: MemoryRecord,
  step: StorePublish,
  { clock }: MemoryLease,
  nowMs: number,
): Wake['stored'] {
  const { payload, ttlMs, staleMs, tags } = step;
  const valueBytes = payload.kind === 'value' ? payload.bytes.byteLength : 0;
  const isSmall = valueBytes + Buffer.byteLength(JSON.stringify(tags)) <= WAKE_VALUE_BYTES_MAX;
  if (!isSmall || rebuild === undefined) return undefined;
  return () => ({ payload, ttlMs, staleMs, tags, clock, rebuild, storedAfterMs: nowMs });
}

/** The next mean and deviation. The first rebuild is taken for the mean, and half of it for the deviation. */
export function learned(before: RebuildTimes | undefined, tookMs: number): RebuildTimes {
  if (before === undefined) return { meanMs: tookMs, deviationMs: tookMs / 2 };
  const { meanMs, deviationMs } = before;
  const offMs = tookMs - meanMs;
  return { meanMs: meanMs + offMs / 8, deviationMs: deviationMs + (Math.abs(offMs) - deviationMs) / 4 };
}

function whyNotStored(record: Maybe, request: StorePublish): StoredOutcome {
  if (record === undefined) return 'unknown_lease';
  if (record.done === request.nonce) return 'duplicate';
  if (record.voided === request.nonce) return 'invalidated';
  return record.fence > request.fence ? 'superseded' : 'unknown_lease';
}

export function release(record: Maybe, request: StoreRelease, nowMs: number): Stepped<ReleaseOutcome> {
  const { nonce, owner, end, failure, keepMs } = request;
  if (record?.lease?.nonce !== nonce || (owner !== undefined && record.lease.owner !== owner)) {
    return { record, reply: 'not_held' };
  }
  const next = {
    ...record,
    lease: undefined,
    failure: failure === undefined ? record.failure : failed(record, failure, nowMs),
    lastEnd: end,
    past: remembered(record, end, nowMs, failure?.message),
  };
  return {
    record: kept(next, nowMs, keepMs),
    reply: 'released',
    wake: { kind: failure === undefined ? 'released' : 'failed', fence: record.fence },
  };
}

function failed(
  record: MemoryRecord,
  failure: NonNullable<StoreRelease['failure']>,
  nowMs: number,
): MemoryFailure {
  const { message, retryAfterMs, backoffMs, backoffMsMax } = failure;
  const inARow = record.failure?.count ?? 0;
  // No back-off needs more doublings. From 1,024 on the factor would be infinite, and 0 times that is no number.
  const doublings = Math.min(inARow, 64);
  const pauseMs = retryAfterMs ?? Math.min(backoffMs * 2 ** doublings, backoffMsMax);
  return {
    message,
    fence: record.fence,
    count: inARow + 1,
    clock: record.lease?.clock ?? '',
    failedAtMs: nowMs,
    untilMs: nowMs + pauseMs,
  };
}

export function extend(record: Maybe, request: StoreExtend, nowMs: number): Stepped<StoreExtended> {
  if (record?.lease?.nonce !== request.nonce) return { record, reply: { extended: false } };
  const holdUntilMs = record.lease.armedAtMs + request.holdMs;
  if (holdUntilMs <= nowMs) return { record, reply: { extended: false } };
  const untilMs = Math.max(record.lease.untilMs, Math.min(holdUntilMs, nowMs + request.expiresInMs));
  const { quorumLost } = request;
  const group = record.lease.group === request.group ? request.group : '';
  const lease = { ...record.lease, untilMs, quorumLost, group };
  return {
    record: kept({ ...record, lease }, nowMs, request.keepMs),
    reply: { extended: true, expiresInMs: untilMs - nowMs },
  };
}

export function invalidate(
  record: Maybe,
  request: StoreInvalidate,
  nowMs: number,
): Stepped<StoreInvalidated> {
  const before = record ?? BLANK;
  const { lease, value } = before;
  const hadValue = record !== undefined && servable(record, nowMs);
  const left =
    hadValue && value !== undefined && request.mode === 'mark_stale' ? markedStale(value, nowMs) : undefined;
  const fence = nextFence(record, nowMs);
  const next = kept(
    {
      ...before,
      fence,
      value: left,
      lease: undefined,
      failure: before.failure && { ...before.failure, untilMs: Math.min(before.failure.untilMs, nowMs) },
      lastEnd: 'invalidated',
      voided: lease === undefined ? before.voided : lease.nonce,
      past: remembered(before, 'invalidated', nowMs),
    },
    nowMs,
    request.keepMs,
  );
  return {
    record: next,
    reply: { hadValue, fence, voidedNonce: lease?.nonce },
    wake: { kind: 'invalidated', fence },
  };
}

/** The time between the two ends is the value's stale_ms, or the rest of it after an earlier mark. */
function markedStale(value: MemoryValue, nowMs: number): MemoryValue | undefined {
  const staleMs = value.servableUntilMs - value.freshUntilMs;
  const servableUntilMs = Math.min(value.servableUntilMs, nowMs + staleMs);
  if (servableUntilMs <= nowMs) return undefined;
  return { ...value, freshUntilMs: Math.min(value.freshUntilMs, nowMs), servableUntilMs };
}

/** Microseconds of the store's clock, so fences grow even if the record is lost in between. */
function nextFence(record: Maybe, nowMs: number): number {
  return Math.max((record?.fence ?? 0) + 1, Math.floor(nowMs * 1000));
}

/** A record that a step has just made and that nothing else refers to. */
type Draft = MemoryRecord & { expiresAtMs: number };

/**
 * The record outlives its value, its lease and its back-off by `keepMs`. It also lasts until the clock has passed its
 * fence. Otherwise the next fence would be lower after the clock was set back.
 */
function kept(record: Draft, nowMs: number, keepMs: number): MemoryRecord {
  const lastEndMs = Math.max(
    nowMs,
    record.value?.servableUntilMs ?? 0,
    record.lease?.untilMs ?? 0,
    record.failure?.untilMs ?? 0,
  );
  record.expiresAtMs = Math.max(lastEndMs + keepMs, record.fence / 1000 + 1);
  return record;
}
