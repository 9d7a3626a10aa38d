import { describe, expect, it } from 'vitest';
import {
  forecast,
  isDrawnToRefresh,
  learnedLeaseMs,
  refreshDraw,
} from '../../../../src/coordination/leasing/forecast.js';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';
import { defaultPolicy } from '../../../../src/coordination/words/policy.js';
import { LIMITS } from '../../../support/coordination-trial.js';
import { SeededRandom } from '../../../support/seeded-random.js';

const running = {
  ...{ nonce: 'n', fence: 1, expiresInMs: 5_000, leaseMs: 5_000, ageMs: 100, holder: '', traceparent: '' },
  ...{ reason: 'miss' as const, requestKey: '', owner: 1, quorumLost: false },
};
const rebuild = { meanMs: 400, deviationMs: 50 };
const snapshot = (record: object, readAtMs = 0): Snapshot => ({
  record: { fence: 1, valueFence: 0, ...record },
  readAtMs,
  arrivals: 0,
  sentAt: 0,
  from: 'store',
});

describe('the forecast', () => {
  it('counts the age of the lease and the time since it was read', () => {
    expect(forecast(snapshot({ lease: running, rebuild }), 0)).toEqual({ earliestMs: 200, usuallyMs: 350 });
    expect(forecast(snapshot({ lease: running, rebuild }, -150), 0)).toEqual({
      earliestMs: 50,
      usuallyMs: 200,
    });
    expect(forecast(snapshot({ lease: running, rebuild }, -300), 0)).toEqual({
      earliestMs: 0,
      usuallyMs: 50,
    });
  });

  it('is undefined if no lease runs, nothing was learned, or the rebuild has already taken longer than usual', () => {
    expect(forecast(snapshot({ rebuild }), 0)).toBeUndefined();
    expect(forecast(snapshot({ lease: running }), 0)).toBeUndefined();
    expect(forecast(snapshot({ lease: { ...running, expiresInMs: 0 }, rebuild }), 0)).toBeUndefined();
    expect(forecast(snapshot({ lease: running, rebuild }, -350), 0)).toBeUndefined();
  });
});

describe('a learned lease', () => {
  const policy = { ...defaultPolicy(LIMITS), leaseMsMin: 100, leaseMsMax: 30_000 };

  it.each([
    { meanMs: 2_000, deviationMs: 100, leaseMs: 4_800 },
    { meanMs: 5, deviationMs: 1, leaseMs: 3_000 },
    { meanMs: 20_000, deviationMs: 1_000, leaseMs: 30_000 },
  ])('after rebuilds of $meanMs ms ± $deviationMs ms lasts $leaseMs ms', ({ leaseMs, ...times }) => {
    expect(learnedLeaseMs(times, policy)).toBe(leaseMs);
  });

  it('stays within the bounds of its namespace', () => {
    const short = { meanMs: 5, deviationMs: 1 };
    expect(learnedLeaseMs(short, { ...policy, leaseMsMin: 4_000 })).toBe(4_000);
    expect(learnedLeaseMs(short, { ...policy, leaseMsMax: 500 })).toBe(500);
  });
});

describe('early refresh', () => {
  it('draws no caller with a beta of 0', () => {
    expect(refreshDraw(0, 0.999_999)).toBe(0);
  });

  it('draws a caller with the probability of the paper: exp(-left / (beta * delta))', () => {
    const random = new SeededRandom(2015);
    const draws = 200_000;
    for (const [freshForMs, meanMs, beta] of [
      [100, 50, 1],
      [50, 50, 1],
      [100, 50, 2],
      [10, 50, 1],
    ] as const) {
      let drawn = 0;
      for (let at = 0; at < draws; at += 1) {
        const times = { meanMs, deviationMs: 0 };
        if (isDrawnToRefresh(freshForMs, times, refreshDraw(beta, random.fraction()))) drawn += 1;
      }
      const expected = Math.exp(-freshForMs / (beta * meanMs));
      // Five standard deviations of a binomial share.
      const spread = 5 * Math.sqrt((expected * (1 - expected)) / draws);
      expect(Math.abs(drawn / draws - expected)).toBeLessThan(spread);
    }
  });
});
