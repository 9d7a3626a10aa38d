import { describe, expect, it } from 'vitest';
import { restMs, retryMs } from '../../../../src/coordination/waiting/backoff.js';

const drawn = (fraction: number) => ({ fraction: () => fraction, nonce: () => '' });

describe('a rest', () => {
  it('lasts until the next poll, between 250 and 1,000 ms', () => {
    expect(restMs(undefined, drawn(0))).toBe(250);
    expect(restMs(undefined, drawn(0.999))).toBeGreaterThan(999);
    expect(restMs(60_000, drawn(0))).toBe(250);
  });

  it('ends with the lease plus a jitter, and is never negative', () => {
    expect(restMs(100, drawn(0.5))).toBe(125);
    expect(restMs(-5_000, drawn(0))).toBe(0);
  });
});

describe('a pause before the next vote', () => {
  it('is drawn from a range that doubles, up to a quarter of a second', () => {
    expect(retryMs(1, drawn(0))).toBe(1);
    expect(retryMs(1, drawn(0.5))).toBe(5);
    expect(retryMs(2, drawn(0.5))).toBe(9);
    expect(retryMs(1_000, drawn(1))).toBe(251);
  });
});
