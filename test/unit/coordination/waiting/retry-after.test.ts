import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';
import { busy, type Known, worded } from '../../../../src/coordination/waiting/retry-after.js';

const NOW_MS = 10_000;
const noHolder: Known = { holder: undefined, snapshot: undefined };
const held = (leftMs: number): Known => ({
  holder: { sinceMs: NOW_MS - 300, untilMs: NOW_MS + leftMs },
  snapshot: undefined,
});
const learned = (meanMs: number, ageMs: number): Known => ({
  ...held(60_000),
  snapshot: {
    record: {
      fence: 1,
      valueFence: 0,
      rebuild: { meanMs, deviationMs: 0 },
      lease: {
        ...{ nonce: 'n', fence: 1, expiresInMs: 60_000, leaseMs: 60_000, ageMs, holder: '', traceparent: '' },
        ...{ reason: 'miss', requestKey: '', owner: 1, quorumLost: false },
      },
    },
    readAtMs: NOW_MS,
    arrivals: 0,
    sentAt: 0,
    from: 'store',
  } satisfies Snapshot,
});

const range = (known: Known) =>
  [0, 0.999_999].map((fraction) => busy('wait_ended', known, NOW_MS, fraction).retryAfterMs);

describe('the retry hint', () => {
  it.each([
    ['short without a holder', noHolder, [125, 250]],
    ['at the end of the lease', held(400), [200, 400]],
    ['within a second for a long lease', held(60_000), [500, 1_000]],
    ['a round trip after a lease that ended', held(-5), [2, 4]],
    ['when the rebuild usually ends', learned(2_000, 500), [1_500, 1_875]],
    ['a guess if the rebuild takes longer than usual', learned(400, 500), [500, 1_000]],
  ])('is %s', (_what, known, [from, to]) => {
    expect(range(known)).toEqual([from, to]);
  });

  it('is 0 when this replica drains', () => {
    expect(busy('draining', held(400), NOW_MS, 0.5).retryAfterMs).toBe(0);
  });

  it('comes with the age of the holder: whole milliseconds above 0, or 0 without a holder', () => {
    expect(busy('wait_ended', held(400), NOW_MS, 0).holderAgeMs).toBe(300);
    const now = { holder: { sinceMs: NOW_MS, untilMs: NOW_MS + 9 }, snapshot: undefined };
    expect(busy('wait_ended', now, NOW_MS, 0).holderAgeMs).toBe(1);
    expect(busy('undecided', noHolder, NOW_MS, 0).holderAgeMs).toBe(0);
  });

  it('after a failure is never before the end of its back-off, and at most a quarter later', () => {
    const failed = { kind: 'failed' as const, message: 'm', retryAfterMs: 1_000 };
    expect(worded(failed, noHolder, NOW_MS, 0)).toEqual(failed);
    expect(worded(failed, noHolder, NOW_MS, 0.999_999)).toEqual({ ...failed, retryAfterMs: 1_250 });
  });
});
