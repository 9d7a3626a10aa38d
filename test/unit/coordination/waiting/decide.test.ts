import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';
import { type Ask, decide } from '../../../../src/coordination/waiting/decide.js';
import type { ArmedLease, KeyRecord, StoredValue } from '../../../../src/coordination/words/record.js';

const NOW_MS = 5_000;

const caller: Ask = {
  intent: 'rebuild',
  staleAllowed: true,
  storeOnly: false,
  arrival: 3,
  requestKey: '',
  waitsForFence: 0,
  waitsUntilMs: Number.POSITIVE_INFINITY,
  refreshDraw: 0,
  allows: () => true,
};

const snapshot = (record: Partial<KeyRecord>, over: Partial<Snapshot> = {}): Snapshot => ({
  record: { fence: 9, valueFence: 0, ...record },
  readAtMs: NOW_MS,
  arrivals: 4,
  sentAt: 0,
  from: 'store',
  ...over,
});

const value = (freshForMs: number, servableForMs: number): StoredValue => ({
  payload: { kind: 'value', bytes: Uint8Array.of(1) },
  freshForMs,
  servableForMs,
  staleMs: servableForMs - freshForMs,
  ageMs: 10,
  fence: 5,
  clock: 'clock.1',
  tags: [],
});

const lease = (expiresInMs: number, over: Partial<ArmedLease> = {}): ArmedLease => ({
  nonce: 'n',
  fence: 9,
  expiresInMs,
  leaseMs: 1_000,
  ageMs: 0,
  holder: '',
  traceparent: '',
  reason: 'miss',
  requestKey: '',
  owner: 1,
  quorumLost: false,
  ...over,
});

const failure = (retryAfterMs: number, fence = 9, triedAgoMs = 10) => ({
  message: 'the source is down',
  fence,
  retryAfterMs,
  count: 1,
  triedAgoMs,
  clock: 'clock.1',
});

const fresh = value(1_000, 2_000);
const absent: StoredValue = { ...fresh, payload: { kind: 'absent' } };
const stale = value(0, 2_000);
const forbids: Ask = { ...caller, staleAllowed: false };

const rebuild = { meanMs: 400, deviationMs: 50 };

describe('a caller', () => {
  it.each<[string, Partial<KeyRecord>, Ask, object]>([
    ['nothing: an attempt', {}, caller, { act: 'attempt', reason: 'miss' }],
    [
      'a fresh value: that value',
      { value: fresh },
      caller,
      { act: 'answer', outcome: { kind: 'hit', freshForMs: 1_000, rebuilding: false } },
    ],
    [
      'a fresh value and a running lease: the value, with a rebuild under way',
      { value: fresh, lease: lease(1) },
      caller,
      { act: 'answer', outcome: { kind: 'hit', rebuilding: true } },
    ],
    [
      'a stale value: an attempt, and the value for all other callers',
      { value: stale, lastEnd: 'published' },
      caller,
      { act: 'attempt', reason: 'expired', meanwhile: { kind: 'hit', freshForMs: 0, rebuilding: true } },
    ],
    [
      'a stale value that it forbids: only an attempt',
      { value: stale, lastEnd: 'published' },
      forbids,
      { act: 'attempt', reason: 'expired' },
    ],
    [
      'a stale value and a running lease: the value',
      { value: stale, lease: lease(1) },
      caller,
      { act: 'answer', outcome: { kind: 'hit', freshForMs: 0, rebuilding: true } },
    ],
    [
      'a stale value that it forbids, and a running lease: a wait',
      { value: stale, lease: lease(1) },
      forbids,
      { act: 'wait' },
    ],
    ['a running lease: a wait', { lease: lease(1) }, caller, { act: 'wait' }],
    ['an expired lease: an attempt', { lease: lease(0) }, caller, { act: 'attempt', reason: 'holder_lost' }],
    [
      'a released lease: an attempt',
      { lastEnd: 'released' },
      caller,
      { act: 'attempt', reason: 'holder_lost' },
    ],
    [
      'an invalidation: an attempt',
      { lastEnd: 'invalidated' },
      caller,
      { act: 'attempt', reason: 'invalidated' },
    ],
    [
      'a failure in its back-off: the failure',
      { failure: failure(500), lastEnd: 'failed' },
      caller,
      { act: 'answer', outcome: { kind: 'failed', message: 'the source is down', retryAfterMs: 500 } },
    ],
    [
      'a failure, and a stale value: the value',
      { failure: failure(500), value: stale },
      caller,
      { act: 'answer', outcome: { kind: 'hit', freshForMs: 0, rebuilding: false } },
    ],
    [
      'a failure, and a stale value that it forbids: the failure',
      { failure: failure(500), value: stale },
      forbids,
      { act: 'answer', outcome: { kind: 'failed' } },
    ],
    [
      'a failure whose back-off is over: an attempt',
      { failure: failure(0), lastEnd: 'failed' },
      caller,
      { act: 'attempt', reason: 'holder_lost' },
    ],
    [
      'the failure of the lease that it waited for, without a back-off: the failure',
      { failure: failure(0), lastEnd: 'failed' },
      { ...caller, waitsForFence: 9 },
      { act: 'answer', outcome: { kind: 'failed', retryAfterMs: 0 } },
    ],
    [
      'nothing, and only reads: Busy (no_value)',
      {},
      { ...caller, intent: 'read' },
      { act: 'answer', outcome: { kind: 'busy', reason: 'no_value' } },
    ],
    [
      'a stale value, and only reads: the value',
      { value: stale },
      { ...caller, intent: 'read' },
      { act: 'answer', outcome: { kind: 'hit', freshForMs: 0 } },
    ],
    [
      'a running lease, and only reads: a wait',
      { lease: lease(1) },
      { ...caller, intent: 'read' },
      { act: 'wait' },
    ],
    [
      'a fresh value, and wants a newer one: an attempt',
      { value: fresh },
      { ...caller, intent: 'refresh' },
      { act: 'attempt', reason: 'refresh' },
    ],
    [
      'a running lease, and wants a newer value: a wait',
      { value: fresh, lease: lease(1) },
      { ...caller, intent: 'refresh' },
      { act: 'wait' },
    ],
    [
      'a failure in its back-off, just tried, and wants a newer value: the failure, for the rest of a second',
      { value: fresh, failure: failure(5_000, 9, 999) },
      { ...caller, intent: 'refresh' },
      { act: 'answer', outcome: { kind: 'failed', retryAfterMs: 1 } },
    ],
    [
      'a failure near the end of its back-off, and wants a newer value: the failure, for the rest of it',
      { value: fresh, failure: failure(500) },
      { ...caller, intent: 'refresh' },
      { act: 'answer', outcome: { kind: 'failed', retryAfterMs: 500 } },
    ],
    [
      'a failure in its back-off, tried a second ago, and wants a newer value: an attempt',
      { value: fresh, failure: failure(5_000, 9, 1_000) },
      { ...caller, intent: 'refresh' },
      { act: 'attempt', reason: 'refresh' },
    ],
    [
      'the failure of the refresh that it waited for: the failure, however old',
      { value: fresh, failure: failure(5_000, 9, 2_000) },
      { ...caller, intent: 'refresh', waitsForFence: 9 },
      { act: 'answer', outcome: { kind: 'failed' } },
    ],
    [
      'a failure in its back-off, and a lease that runs nevertheless: a wait',
      { failure: failure(5_000, 8), lease: lease(1) },
      caller,
      { act: 'wait' },
    ],
    [
      'the failure of the lease that it waited for, and the next lease: the failure',
      { failure: failure(0, 8), lease: lease(1) },
      { ...caller, waitsForFence: 8 },
      { act: 'answer', outcome: { kind: 'failed' } },
    ],
    [
      'a rebuild that ends too late for it: Busy at once',
      { lease: lease(5_000), rebuild },
      { ...caller, waitsUntilMs: NOW_MS + 299 },
      { act: 'answer', outcome: { kind: 'busy', reason: 'deadline_too_short' } },
    ],
    [
      'a rebuild that may end at any time, after its wait is over: the end of its wait',
      { lease: lease(5_000) },
      { ...caller, waitsUntilMs: NOW_MS - 1 },
      { act: 'wait' },
    ],
    [
      'a rebuild that may end in time for it: a wait',
      { lease: lease(5_000), rebuild },
      { ...caller, waitsUntilMs: NOW_MS + 300 },
      { act: 'wait' },
    ],
    [
      'a rebuild that ends too late for it, and a stale value: the value',
      { lease: lease(5_000), rebuild, value: stale },
      { ...caller, waitsUntilMs: NOW_MS + 1 },
      { act: 'answer', outcome: { kind: 'hit' } },
    ],
    [
      'a fresh value near its end, and is drawn: an early attempt, and the value for all others',
      { value: value(799, 2_000), rebuild },
      { ...caller, refreshDraw: 2 },
      { act: 'attempt', reason: 'early_refresh', meanwhile: { kind: 'hit', rebuilding: false } },
    ],
    [
      'a fresh value far from its end: the value, although drawn',
      { value: value(801, 2_000), rebuild },
      { ...caller, refreshDraw: 2 },
      { act: 'answer', outcome: { kind: 'hit' } },
    ],
    [
      'a fresh value near its end that is being rebuilt: the value, although drawn',
      { value: value(1, 2_000), rebuild, lease: lease(1) },
      { ...caller, refreshDraw: 2 },
      { act: 'answer', outcome: { kind: 'hit', rebuilding: true } },
    ],
    [
      'a fresh value near its end, in the back-off of a failure: the value, although drawn',
      { value: value(1, 2_000), rebuild, failure: failure(500) },
      { ...caller, refreshDraw: 2 },
      { act: 'answer', outcome: { kind: 'hit' } },
    ],
    [
      'a fresh value near its end, and only reads: the value, although drawn',
      { value: value(1, 2_000), rebuild },
      { ...caller, refreshDraw: 2, intent: 'read' },
      { act: 'answer', outcome: { kind: 'hit' } },
    ],
    [
      'the running lease of its own earlier attempt: that lease',
      { lease: lease(1, { requestKey: 'me\n1' }) },
      { ...caller, requestKey: 'me\n1' },
      { act: 'adopt' },
    ],
    [
      'the running lease of its own earlier attempt, and a value: that lease, or the value if that takes too long',
      { lease: lease(1, { requestKey: 'me\n1' }), value: value(1_000, 2_000) },
      { ...caller, requestKey: 'me\n1' },
      { act: 'adopt', meanwhile: { kind: 'hit', freshForMs: 1_000 } },
    ],
    [
      "the running lease of another identity's call with the same id: a wait",
      { lease: lease(1, { requestKey: 'you\n1' }) },
      { ...caller, requestKey: 'me\n1' },
      { act: 'wait' },
    ],
    [
      'the expired lease of its own earlier attempt: an attempt',
      { lease: lease(0, { requestKey: 'me\n1' }) },
      { ...caller, requestKey: 'me\n1' },
      { act: 'attempt' },
    ],
  ])('that finds %s', (_what, record, ask, expected) => {
    expect(decide(snapshot(record), ask, NOW_MS)).toMatchObject(expected);
  });

  it('that forbids stale values gets none meanwhile', () => {
    expect(decide(snapshot({ value: stale }), forbids, NOW_MS)).not.toHaveProperty('meanwhile');
    const own = { value: stale, lease: lease(1, { requestKey: 'me\n1' }) };
    const retry = { ...forbids, requestKey: 'me\n1' };
    expect(decide(snapshot(own), retry, NOW_MS)).toEqual({ act: 'adopt' });
  });

  it('gets a decision that counts the time since the snapshot was read', () => {
    const old = snapshot({ value: value(1_000, 2_000), lease: lease(1_500) }, { readAtMs: NOW_MS - 999.5 });
    // Half a millisecond of freshness is none, because answers round down to whole milliseconds.
    expect(decide(old, forbids, NOW_MS)).toEqual({ act: 'wait' });
    expect(decide(old, caller, NOW_MS)).toMatchObject({ outcome: { freshForMs: 0 } });
    expect(decide(old, forbids, NOW_MS - 0.5)).toMatchObject({ outcome: { freshForMs: 1 } });
    expect(decide(old, forbids, NOW_MS + 1)).toEqual({ act: 'wait' });
    expect(decide(old, forbids, NOW_MS + 501)).toMatchObject({ act: 'attempt' });
    expect(decide(old, caller, NOW_MS + 1_001)).toMatchObject({ act: 'attempt', reason: 'holder_lost' });
  });

  it('that came after a change gets nothing that was read before it', () => {
    const late = { ...caller, allows: () => false };
    const before = snapshot({ value: fresh }, { arrivals: 3 });
    expect(decide(before, late, NOW_MS)).toEqual({ act: 'read_again' });
    expect(decide(before, { ...late, arrival: 2 }, NOW_MS)).toMatchObject({ act: 'answer' });
    for (const record of [{ value: stale }, { value: absent }, { failure: failure(500) }]) {
      expect(decide(snapshot(record, { arrivals: 3 }), late, NOW_MS)).toEqual({ act: 'read_again' });
      expect(decide(snapshot(record, { from: 'publish', arrivals: 0 }), late, NOW_MS)).toEqual({
        act: 'read_again',
      });
    }
  });

  it('gets an unstored value as fresh, but for 0 ms, so that no client keeps it', () => {
    const news = snapshot({ value: fresh }, { from: 'publish', arrivals: 0, degraded: 'store_lost' });
    expect(decide(news, forbids, NOW_MS)).toMatchObject({ outcome: { fresh: true, freshForMs: 0 } });
  });

  it('with READ_STORE gets no snapshot from before its arrival, and none from a publish', () => {
    const storeOnly = { ...caller, storeOnly: true };
    expect(decide(snapshot({ value: fresh }), { ...storeOnly, arrival: 3 }, NOW_MS).act).toBe('answer');
    expect(decide(snapshot({ value: fresh }), { ...storeOnly, arrival: 4 }, NOW_MS).act).toBe('read_again');
    const passedOn = snapshot({ value: fresh }, { from: 'publish', arrivals: 99 });
    expect(decide(passedOn, storeOnly, NOW_MS).act).toBe('read_again');
    expect(decide(passedOn, caller, NOW_MS).act).toBe('answer');
  });
});
