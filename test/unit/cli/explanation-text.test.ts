import { expect, it } from 'vitest';
import { explanationText } from '../../../src/cli/explanation-text.js';
import {
  Degraded,
  ExplainResponse,
  Freshness,
  LeaseEnd,
  LeaseReason,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';

const KEY = { namespace: 'prices', key: 'user:42' };
const told = (some: object) => explanationText(KEY, ExplainResponse.fromJSON(some)).split('\n');

it('an unknown key has an empty explanation', () => {
  expect(told({ degraded: Degraded.DEGRADED_NONE })).toEqual([
    'key        user:42 in the namespace prices',
    'value      none',
    'lease      none',
    'waiters    0 callers on the replica that answered',
    'fence      unknown',
    'before     no lease has ended',
    '',
  ]);
});

it('an explanation shows the holder, the waiters, the value and the past leases', () => {
  const lines = told({
    degraded: Degraded.DEGRADED_QUORUM_LOST,
    value: {
      freshness: Freshness.FRESHNESS_STALE,
      ...{ sizeBytes: 2_048, ageMs: 61_000, staleForMs: 540_000, fence: 7, tags: ['users', 'tenant\n7'] },
    },
    lease: {
      ...{ holder: 'web-3/\u001b[1m', fence: 9, ageMs: 250, expiresInMs: 9_750, traceparent: '00-1-2-01' },
      reason: LeaseReason.LEASE_REASON_EARLY_REFRESH,
    },
    waiters: 17,
    failed: { message: 'no such\ttable', retryAfterMs: 1_500 },
    fence: 9,
    pastLeases: [
      { holder: '', fence: 8, heldMs: 12, endedAgoMs: 3_000, end: LeaseEnd.LEASE_END_SESSION_LOST },
      {
        ...{ holder: 'job', fence: 7, heldMs: 1_200, endedAgoMs: 61_000, end: LeaseEnd.LEASE_END_FAILED },
        failureMessage: 'no\nsuch table',
      },
    ],
  });
  expect(lines).toEqual([
    'key        user:42 in the namespace prices',
    'degraded   fewer than a majority of the lock nodes answer: the store alone decides',
    'value      2.0 KiB; stale, may be served for 9 min',
    '           published 1 min 1 s ago with fence 7',
    '           tags: users, tenant\\u000a7',
    'lease      web-3/\\u001b[1m has held it for 250 ms; ends in 9.8 s unless extended',
    '           reason: early refresh; fence 9',
    '           trace: 00-1-2-01',
    'waiters    17 callers on the replica that answered',
    'back-off   for 1.5 s, because the last rebuild failed: no such\\u0009table',
    'fence      9 is the highest so far',
    'before     ENDED          HOW           HELD   HOLDER          FENCE  FAILURE',
    '           3.0 s ago      session lost  12 ms  unnamed caller  8',
    '           1 min 1 s ago  failed        1.2 s  job             7      no\\u000asuch table',
    '',
  ]);
});

it('a fresh value, an absent value and an expired lease have different texts', () => {
  const fresh = { freshness: Freshness.FRESHNESS_FRESH, freshForMs: 5_000 };
  expect(told({ value: fresh })[1]).toBe('value      0 bytes; fresh for 5.0 s');
  expect(told({ value: { ...fresh, staleForMs: 60_000, absent: true } })[1]).toBe(
    'value      the source has nothing under this key; fresh for 5.0 s, then served stale for 1 min',
  );
  expect(told({ lease: { holder: 'a', ageMs: 20_000 } })[2]).toBe(
    'lease      a has held it for 20.0 s; expired',
  );
});

it('an enum value of a later version is shown as unspecified', () => {
  const later = { reason: 99 as LeaseReason };
  expect(told({ lease: later })[3]).toBe('           reason: unspecified; fence 0');
});
