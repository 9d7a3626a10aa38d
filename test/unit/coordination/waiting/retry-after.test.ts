import { describe, expect, it } from 'vitest';
import { busy, type Known, worded } from '../../../../src/coordination/waiting/retry-after.js';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';

const NOW_MS = 10_000;
const nobody: Known = { holder: undefined, snapshot: undefined };
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

describe('when to come back', () => {
  it.each([
    ['soon where there is no holder', nobody, [125, 250]],
    ['at the end of the lease', held(400), [200, 400]],
    ['within a second of a long lease', held(60_000), [500, 1_000]],
    ['a round trip after a lease that ended', held(-5), [2, 4]],
    ['when the rebuild usually has ended', learned(2_000, 500), [1_500, 1_875]],
    ['at a guess when it took longer than usual', learned(400, 500), [500, 1_000]],
  ])('is %s', (_what, known, [from, to]) => {
    expect(range(known)).toEqual([from, to]);
  });

  it('is at once, elsewhere, when this replica stops', () => {
    expect(busy('draining', held(400), NOW_MS, 0.5).retryAfterMs).toBe(0);
  });

  it('comes with the age of the holder, of whole milliseconds above 0, or with 0 for none', () => {
    expect(busy('wait_ended', held(400), NOW_MS, 0).holderAgeMs).toBe(300);
    const now = { holder: { sinceMs: NOW_MS, untilMs: NOW_MS + 9 }, snapshot: undefined };
    expect(busy('wait_ended', now, NOW_MS, 0).holderAgeMs).toBe(1);
    expect(busy('undecided', nobody, NOW_MS, 0).holderAgeMs).toBe(0);
  });

  it('after a failure is never before its back-off ends, and at most a quarter later', () => {
    const failed = { kind: 'failed' as const, message: 'm', retryAfterMs: 1_000 };
    expect(worded(failed, nobody, NOW_MS, 0)).toEqual(failed);
    expect(worded(failed, nobody, NOW_MS, 0.999_999)).toEqual({ ...failed, retryAfterMs: 1_250 });
  });
});
