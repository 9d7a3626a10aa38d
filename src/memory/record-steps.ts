import type {
  ArmReply,
  ArmRequest,
  StoredAnswer,
  StoredOutcome,
  StoreExtend,
  StoreExtended,
  StoreInvalidate,
  StoreInvalidated,
  StorePublish,
  StoreRelease,
} from '../coordination/ports/value-store.js';
import type { Wake } from '../coordination/ports/wake-channel.js';
import type { LeaseEnd, Payload, ReleaseOutcome } from '../coordination/words/outcome.js';
import {
  type ArmedLease,
  type KeyRecord,
  NO_RECORD,
  PAST_FAILURE_BYTES_MAX,
  PAST_LEASES_MAX,
  type PastLease,
  type RebuildTimes,
  type StoredFailure,
  type StoredValue,
} from '../coordination/words/record.js';

/** The record of one key, with times on the store's clock. Never changed: each step makes a new one. */
export interface MemoryRecord {
  readonly fence: number;
  readonly valueFence: number;
  readonly value?: MemoryValue;
  readonly lease?: MemoryLease;
  readonly failure?: MemoryFailure;
  readonly rebuild?: RebuildTimes;
  readonly lastEnd?: LeaseEnd;
  /** The nonce that the last invalidation voided. */
  readonly voided?: string;
  /** The nonce whose value was stored last. */
  readonly done?: string;
  /** The leases that have ended, newest first. */
  readonly past?: readonly MemoryPast[];
  /** When the record is dropped: `keepMs` after the last end of what is in it. */
  readonly expiresAtMs: number;
}

interface MemoryValue {
  readonly payload: Payload;
  readonly publishedAtMs: number;
  readonly freshUntilMs: number;
  readonly servableUntilMs: number;
  readonly clock: string;
  readonly tags: readonly string[];
}

interface MemoryLease extends Omit<ArmedLease, 'fence' | 'expiresInMs' | 'ageMs'> {
  readonly armedAtMs: number;
  readonly untilMs: number;
  readonly clock: string;
}

interface MemoryPast extends Omit<PastLease, 'endedAgoMs'> {
  readonly endedAtMs: number;
}

interface MemoryFailure extends Omit<StoredFailure, 'retryAfterMs'> {
  readonly failedAtMs: number;
  readonly untilMs: number;
}

/** What one step makes of a record: the next record, the reply, and the wake if it sends one. */
export interface Step<T> {
  readonly record: MemoryRecord | undefined;
  readonly reply: T;
  readonly wake?: Pick<Wake, 'kind' | 'fence'>;
}

type Maybe = MemoryRecord | undefined;

/** While it is made, field by field: spreads take several times as long. */
type InTheMaking<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Undefined once its time is over, as Redis expires a key; and without what claims to begin after now, which was
 * written before the clock was set back: a lease stays armed, as any whose time has run out. Each step below wants a
 * record seen through this.
 */
export function alive(record: Maybe, nowMs: number): Maybe {
  if (record === undefined || record.expiresAtMs <= nowMs) return undefined;
  const { value, lease, failure } = record;
  const latestMs = Math.max(value?.publishedAtMs ?? 0, lease?.armedAtMs ?? 0, failure?.failedAtMs ?? 0);
  return latestMs <= nowMs ? record : withoutFuture(record, nowMs);
}

function withoutFuture({ value, lease, failure, ...rest }: MemoryRecord, nowMs: number): MemoryRecord {
  return {
    ...rest,
    ...(value === undefined || value.publishedAtMs > nowMs ? {} : { value }),
    ...(lease === undefined
      ? {}
      : { lease: lease.armedAtMs > nowMs ? { ...lease, armedAtMs: nowMs, untilMs: nowMs } : lease }),
    ...(failure === undefined
      ? {}
      : {
          failure: failure.failedAtMs > nowMs ? { ...failure, failedAtMs: nowMs, untilMs: nowMs } : failure,
        }),
  };
}

export function read(record: Maybe, nowMs: number): KeyRecord {
  if (record === undefined) return NO_RECORD;
  const { fence, valueFence, value, lease, failure, rebuild, lastEnd, voided } = record;
  const seen: InTheMaking<KeyRecord> = { fence, valueFence };
  if (servable(record, nowMs) && value !== undefined) seen.value = seenValue(value, valueFence, nowMs);
  if (lease !== undefined) seen.lease = seenLease(lease, fence, nowMs);
  if (failure !== undefined) seen.failure = seenFailure(failure, nowMs);
  if (rebuild !== undefined) seen.rebuild = rebuild;
  if (lastEnd !== undefined) seen.lastEnd = lastEnd;
  if (voided !== undefined) seen.voidedNonce = voided;
  return seen;
}

function seenValue(value: MemoryValue, fence: number, nowMs: number): StoredValue {
  const { payload, clock, tags, freshUntilMs, servableUntilMs, publishedAtMs } = value;
  return {
    ...{ payload, clock, tags, fence },
    freshForMs: Math.max(0, freshUntilMs - nowMs),
    servableForMs: servableUntilMs - nowMs,
    staleMs: servableUntilMs - freshUntilMs,
    ageMs: nowMs - publishedAtMs,
  };
}

export function explain(record: Maybe, nowMs: number): { record: KeyRecord; past: readonly PastLease[] } {
  const past = (record?.past ?? []).map(({ endedAtMs, ...lease }) => ({
    ...lease,
    endedAgoMs: nowMs - endedAtMs,
  }));
  return { record: read(record, nowMs), past };
}

/** The record's past with the lease that has just ended. */
function remembered(record: MemoryRecord, end: LeaseEnd, endedAtMs: number, failure = ''): MemoryPast[] {
  const { lease, fence, past = [] } = record;
  if (lease === undefined) return [...past];
  const { holder, armedAtMs } = lease;
  const said = Buffer.from(failure).subarray(0, PAST_FAILURE_BYTES_MAX).toString();
  const ended = { holder, fence, heldMs: endedAtMs - armedAtMs, endedAtMs, end, failure: said };
  return [ended, ...past].slice(0, PAST_LEASES_MAX);
}

function seenLease(lease: MemoryLease, fence: number, nowMs: number): ArmedLease {
  const { nonce, leaseMs, holder, traceparent, reason, requestKey, owner, quorumLost } = lease;
  return {
    nonce,
    fence,
    expiresInMs: lease.untilMs - nowMs,
    leaseMs,
    ageMs: nowMs - lease.armedAtMs,
    holder,
    traceparent,
    reason,
    requestKey,
    owner,
    quorumLost,
  };
}

function seenFailure({ message, fence, count, untilMs }: MemoryFailure, nowMs: number): StoredFailure {
  return { message, fence, count, retryAfterMs: Math.max(0, untilMs - nowMs) };
}

export function arm(record: Maybe, request: ArmRequest, nowMs: number): Step<ArmReply> {
  const { nonce, quorumLost } = request;
  const fence = record?.fence ?? 0;
  const before = record?.lease;
  const again = before?.nonce === nonce;
  const asRead = fence === request.fenceRead && (record?.valueFence ?? 0) === request.valueFenceRead;
  const running = before !== undefined && before.untilMs > nowMs;
  const inTheWay = running && (before.quorumLost || quorumLost);
  if (again || !asRead || inTheWay) return { record, reply: { armed: again, record: read(record, nowMs) } };
  const { leaseMs, holder, traceparent, reason, requestKey, expiresInMs, clock } = request;
  const lease: MemoryLease = {
    ...{ nonce, leaseMs, holder, traceparent, reason, requestKey, owner: 1, quorumLost, clock },
    armedAtMs: nowMs,
    untilMs: nowMs + expiresInMs,
  };
  const fenced = { ...(record ?? { valueFence: 0 }), fence: nextFence(record, nowMs), lease };
  const armed: InTheMaking<Omit<MemoryRecord, 'expiresAtMs'>> = fenced;
  if (before !== undefined && record !== undefined) {
    armed.lastEnd = 'expired';
    armed.past = remembered(record, 'expired', Math.min(nowMs, before.untilMs));
  }
  const next = kept(armed, nowMs, request.keepMs);
  return { record: next, reply: { armed: true, record: read(next, nowMs) } };
}

export function adopt(record: Maybe, nonce: string, nowMs: number): Step<KeyRecord | undefined> {
  if (record?.lease?.nonce !== nonce) return { record, reply: undefined };
  const next = { ...record, lease: { ...record.lease, owner: record.lease.owner + 1 } };
  return { record: next, reply: read(next, nowMs) };
}

export function publish(record: Maybe, request: StorePublish, nowMs: number): Step<StoredAnswer> {
  const { nonce, payload, ttlMs, staleMs, tags } = request;
  if (record?.lease?.nonce !== nonce) {
    const fence = record !== undefined && servable(record, nowMs) ? record.valueFence : 0;
    const outcome = whyNotStored(record, request);
    const clock = outcome === 'duplicate' ? (record?.value?.clock ?? '') : '';
    return { record, reply: { outcome, fence, clock } };
  }
  const { lease, failure: _cleared, ...rest } = record;
  const freshUntilMs = nowMs + ttlMs;
  const { clock } = lease;
  const servableUntilMs = freshUntilMs + staleMs;
  const value = { payload, publishedAtMs: nowMs, freshUntilMs, servableUntilMs, clock, tags };
  const next = kept(
    {
      ...rest,
      valueFence: record.fence,
      value,
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
    wake: { kind: 'published', fence: record.fence },
  };
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

export function release(record: Maybe, request: StoreRelease, nowMs: number): Step<ReleaseOutcome> {
  const { nonce, owner, end, failure, keepMs } = request;
  if (record?.lease?.nonce !== nonce || (owner !== undefined && record.lease.owner !== owner)) {
    return { record, reply: 'not_held' };
  }
  const { lease: _ended, ...rest } = record;
  const inARow = record.failure?.count ?? 0;
  const failed =
    failure === undefined
      ? {}
      : {
          failure: {
            message: failure.message,
            fence: record.fence,
            count: inARow + 1,
            failedAtMs: nowMs,
            untilMs:
              nowMs +
              (failure.retryAfterMs ?? Math.min(failure.backoffMs * 2 ** inARow, failure.backoffMsMax)),
          },
        };
  return {
    record: kept(
      { ...rest, ...failed, lastEnd: end, past: remembered(record, end, nowMs, failure?.message) },
      nowMs,
      keepMs,
    ),
    reply: 'released',
    wake: { kind: failure === undefined ? 'released' : 'failed', fence: record.fence },
  };
}

export function extend(record: Maybe, request: StoreExtend, nowMs: number): Step<StoreExtended> {
  if (record?.lease?.nonce !== request.nonce) return { record, reply: { extended: false } };
  const holdUntilMs = record.lease.armedAtMs + request.holdMs;
  if (holdUntilMs <= nowMs) return { record, reply: { extended: false } };
  const untilMs = Math.max(record.lease.untilMs, Math.min(holdUntilMs, nowMs + request.expiresInMs));
  const lease = { ...record.lease, untilMs, quorumLost: request.quorumLost };
  return {
    record: kept({ ...record, lease }, nowMs, request.keepMs),
    reply: { extended: true, expiresInMs: untilMs - nowMs },
  };
}

export function invalidate(record: Maybe, request: StoreInvalidate, nowMs: number): Step<StoreInvalidated> {
  const { lease, value, ...rest } = record ?? { valueFence: 0 };
  const hadValue = record !== undefined && servable(record, nowMs);
  const left =
    hadValue && value !== undefined && request.mode === 'mark_stale' ? markedStale(value, nowMs) : undefined;
  const fence = nextFence(record, nowMs);
  const next = kept(
    {
      ...rest,
      fence,
      lastEnd: 'invalidated',
      ...(left === undefined ? {} : { value: left }),
      ...(lease === undefined || record === undefined
        ? {}
        : { voided: lease.nonce, past: remembered(record, 'invalidated', nowMs) }),
    },
    nowMs,
    request.keepMs,
  );
  return {
    record: next,
    reply: { hadValue, fence, ...(lease === undefined ? {} : { voidedNonce: lease.nonce }) },
    wake: { kind: 'invalidated', fence },
  };
}

/** What lies between the two ends is the value's stale_ms, or the rest of it after an earlier mark. */
function markedStale(value: MemoryValue, nowMs: number): MemoryValue | undefined {
  const staleMs = value.servableUntilMs - value.freshUntilMs;
  const servableUntilMs = Math.min(value.servableUntilMs, nowMs + staleMs);
  if (servableUntilMs <= nowMs) return undefined;
  return { ...value, freshUntilMs: Math.min(value.freshUntilMs, nowMs), servableUntilMs };
}

function servable(record: MemoryRecord, nowMs: number): boolean {
  return record.value !== undefined && record.value.servableUntilMs > nowMs;
}

/** Microseconds of the store's clock, so that fences grow also when the record is lost in between. */
function nextFence(record: Maybe, nowMs: number): number {
  return Math.max((record?.fence ?? 0) + 1, Math.floor(nowMs * 1000));
}

/**
 * The record outlives its value, its lease and its back-off by `keepMs`; and it lasts until the clock has passed its
 * fence, for the next one would be lower otherwise, after the clock was set back.
 */
function kept(record: Omit<MemoryRecord, 'expiresAtMs'>, nowMs: number, keepMs: number): MemoryRecord {
  const lastEndMs = Math.max(
    nowMs,
    record.value?.servableUntilMs ?? 0,
    record.lease?.untilMs ?? 0,
    record.failure?.untilMs ?? 0,
  );
  return { ...record, expiresAtMs: Math.max(lastEndMs + keepMs, record.fence / 1000 + 1) };
}
