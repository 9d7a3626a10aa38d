import { randomBytes } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { samplerOf } from '../../../src/telemetry/sampler.js';

const traceparent = (flags: string, traceId = randomBytes(16).toString('hex')) =>
  `00-${traceId}-00f067aa0ba902b7-${flags}`;
const [NEVER, HALF, ALWAYS] = [0, 0.5, 1];

describe('sampling', () => {
  it('follows the caller if it is parent-based, whatever the ratio', () => {
    for (const ratio of [NEVER, HALF, ALWAYS]) {
      const sampled = samplerOf({ kind: 'traceidratio', parentBased: true, ratio });
      expect(['01', '03', 'ff'].map((flags) => sampled(traceparent(flags)))).toEqual([true, true, true]);
      expect(['00', '02', 'fe'].map((flags) => sampled(traceparent(flags)))).toEqual([false, false, false]);
    }
  });

  it('draws for calls that begin a trace', () => {
    const sampled = samplerOf({ kind: 'traceidratio', parentBased: true, ratio: 0.25 });
    const draw = vi.spyOn(Math, 'random');
    draw.mockReturnValue(0.2499);
    expect(sampled('')).toBe(true);
    draw.mockReturnValue(0.25);
    expect(sampled('')).toBe(false);
    draw.mockRestore();
  });

  it('supports the kinds without a ratio', () => {
    for (const parentBased of [true, false]) {
      expect(samplerOf({ kind: 'always_on', parentBased, ratio: NEVER })('')).toBe(true);
      expect(samplerOf({ kind: 'always_off', parentBased, ratio: ALWAYS })('')).toBe(false);
    }
    expect(samplerOf({ kind: 'always_on', parentBased: false, ratio: NEVER })(traceparent('00'))).toBe(true);
    expect(samplerOf({ kind: 'always_off', parentBased: false, ratio: NEVER })(traceparent('01'))).toBe(
      false,
    );
  });

  it('decides by the trace id if the parent does not count, so that all services keep the same traces', () => {
    const sampled = samplerOf({ kind: 'traceidratio', parentBased: false, ratio: 0.5 });
    expect(sampled(traceparent('00', `${'0'.repeat(18)}8${'0'.repeat(13)}`))).toBe(true);
    expect(sampled(traceparent('01', `${'f'.repeat(18)}7${'e'.repeat(13)}`))).toBe(false);
    const kept = Array.from({ length: 2_000 }, () => sampled(traceparent('00'))).filter(Boolean).length;
    expect(kept).toBeGreaterThan(800);
    expect(kept).toBeLessThan(1_200);
  });
});
