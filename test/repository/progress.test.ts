import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Progress, progressLine, roundTime } from '../support/progress.mjs';

describe('the line of a long command', () => {
  const where = { what: 'simulate', unit: 'seeds', total: 2_000 };

  it('shows the progress, the rate and the time left', () => {
    expect(progressLine({ ...where, done: 1_200, elapsedMs: 12_000 })).toBe(
      'simulate: 1,200 of 2,000 seeds, 100 a second, 8 s left',
    );
    expect(progressLine({ ...where, done: 3, elapsedMs: 60_000 })).toBe(
      'simulate: 3 of 2,000 seeds, 3.0 a minute, 11.1 h left',
    );
  });

  it('shows no time left before the first step and after the last', () => {
    expect(progressLine({ ...where, done: 0, elapsedMs: 5_000 })).toBe('simulate: 0 of 2,000 seeds');
    expect(progressLine({ ...where, done: 2_000, elapsedMs: 20_000 })).toBe(
      'simulate: 2,000 of 2,000 seeds, 100 a second',
    );
  });

  it('counts down a duration, and also waits for the total if a command has both', () => {
    const soak = { what: 'soak', unit: 'faults', lastsMs: 60_000 };
    expect(progressLine({ ...soak, done: 12, elapsedMs: 30_000 })).toBe(
      'soak: 12 faults, 24.0 a minute, 30 s left',
    );
    expect(progressLine({ ...soak, done: 0, elapsedMs: 10_000 })).toBe('soak: 0 faults, 50 s left');
    expect(progressLine({ ...soak, done: 24, elapsedMs: 61_000 })).toBe('soak: 24 faults, 23.6 a minute');
    const both = { ...where, done: 1_200, lastsMs: 20_000 };
    expect(progressLine({ ...both, elapsedMs: 12_000 })).toContain(', 8 s left');
    expect(progressLine({ ...both, lastsMs: 50_000, elapsedMs: 12_000 })).toContain(', 38 s left');
  });

  it('rounds times for people', () => {
    expect([0, 1_499, 99_000, 100_000, 5_940_000, 7_200_000].map(roundTime)).toEqual([
      ...['0 s', '1 s', '99 s', '2 min', '99 min', '2.0 h'],
    ]);
  });
});

describe('progress', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function trial(isTTY: boolean) {
    const written: string[] = [];
    const out = { isTTY, write: (text: string) => written.push(text) };
    return { written, progress: new Progress('bench', 4, 'benches', { out, nowMs: () => Date.now() }) };
  }

  it('is one line on a terminal, rewritten and finally removed', () => {
    const { written, progress } = trial(true);
    vi.advanceTimersByTime(1_000);
    expect(written).toEqual(Array(2).fill('\r\x1b[Kbench: 0 of 4 benches'));
    progress.end();
    expect(written.at(-1)).toBe('\r\x1b[K');
    vi.advanceTimersByTime(60_000);
    expect(written).toHaveLength(3);
  });

  it('is a line every 30 s elsewhere', () => {
    const { written, progress } = trial(false);
    progress.add(1);
    vi.advanceTimersByTime(29_000);
    expect(written).toEqual([]);
    vi.advanceTimersByTime(1_000);
    progress.add();
    vi.advanceTimersByTime(30_000);
    expect(written).toEqual([
      'bench: 1 of 4 benches, 2.0 a minute, 90 s left\n',
      'bench: 2 of 4 benches, 2.0 a minute, 60 s left\n',
    ]);
    progress.end();
    expect(written).toHaveLength(2);
  });
});
