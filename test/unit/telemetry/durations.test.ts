import { describe, expect, it } from 'vitest';
import { Durations, RecentDurations } from '../../../src/telemetry/durations.js';
import { percentile } from '../../support/percentile.js';

/** The error of a percentile, as a share of the true one, is below this. */
const EXACT_TO = 0.05;

describe('durations', () => {
  it('return percentiles within a twentieth, from a tenth of a millisecond to an hour', () => {
    for (const scaleMs of [0.1, 1, 30, 1_000, 60_000, 3_000_000]) {
      const durations = new Durations();
      const exact = Array.from({ length: 1_000 }, (_, n) => scaleMs * (1 + (n % 37) / 100));
      for (const ms of exact) durations.add(ms);
      expect(durations.count).toBe(1_000);
      for (const share of [0, 0.5, 0.9, 0.99, 1]) {
        const ratio = (durations.percentileMs(share) ?? 0) / percentile(exact, share);
        expect(Math.abs(ratio - 1)).toBeLessThan(EXACT_TO);
      }
    }
  });

  it('return nothing if there are none', () => {
    const durations = new Durations();
    expect(durations.percentileMs(0.5)).toBeUndefined();
    durations.add(5);
    durations.clear();
    expect(durations.percentileMs(0.5)).toBeUndefined();
    expect(durations.count).toBe(0);
  });

  it('count values beyond their range as its ends', () => {
    const durations = new Durations();
    durations.add(0);
    expect(durations.percentileMs(1)).toBeCloseTo(0.05, 1);
    durations.add(1e12);
    expect(durations.percentileMs(1)).toBeGreaterThan(3_600_000);
  });
});

describe('recent durations', () => {
  it('forget a part when as many others have begun', () => {
    const recent = new RecentDurations(3);
    recent.add(10);
    recent.endPart();
    recent.add(1_000);
    recent.endPart();
    expect(recent.sum().count).toBe(2);
    expect(recent.sum().percentileMs(0)).toBeLessThan(11);
    recent.endPart();
    expect(recent.sum().count).toBe(1);
    expect(recent.sum().percentileMs(0)).toBeGreaterThan(900);
    recent.endPart();
    expect(recent.sum().count).toBe(0);
  });
});
