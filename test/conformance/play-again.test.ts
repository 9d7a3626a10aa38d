import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Column } from './adapters.js';
import { playAgainIfHeldUp } from './play-again.js';
import { Pulse } from './pulse.js';
import type { Scenario } from './scenario.js';
import type { Stage } from './stage.js';

const FAILS: Scenario = { name: 'one that fails', file: 'none', steps: [{ rebuilds: 1 }] };
const COLUMN: Column = { name: 'go', language: 'go', session: true, bareLoop: false };

/** How often it is played on a stage that was late, or was not. */
async function attemptsOn(wasLate: boolean): Promise<number> {
  const again = vi.fn(async () => {});
  const stage = { wasLate: () => wasLate } as unknown as Stage;
  const adapter = () => Promise.reject(new Error('none is needed'));
  await expect(playAgainIfHeldUp(FAILS, { stage, column: COLUMN, adapter }, again)).rejects.toThrow(
    '0 rebuilds have begun',
  );
  return again.mock.calls.length + 1;
}

describe('a scenario that fails', () => {
  it('fails at once on a machine that has time for it', async () => {
    expect(await attemptsOn(false)).toBe(1);
  });

  it('is played three times on a machine that held it up, and fails', async () => {
    expect(await attemptsOn(true)).toBe(3);
  });
});

describe('a pulse', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const answeredAfter = (ms: number) => new Pulse(() => new Promise((resolve) => setTimeout(resolve, ms)));

  it('is not late while answers come soon', async () => {
    const pulse = answeredAfter(900);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(pulse.wasLate(0)).toBe(false);
  });

  it('was late if an answer took a second, and not since then', async () => {
    const pulse = answeredAfter(1_100);
    await vi.advanceTimersByTimeAsync(1_700);
    expect(pulse.wasLate(0)).toBe(true);
    expect(pulse.wasLate(performance.now())).toBe(false);
  });

  it('is late while an answer is owed for a second', async () => {
    const pulse = answeredAfter(60_000);
    await vi.advanceTimersByTimeAsync(1_400);
    expect(pulse.wasLate(0)).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(pulse.wasLate(performance.now())).toBe(true);
  });

  it('is not late while it stands still on purpose', async () => {
    const pulse = answeredAfter(60_000);
    await vi.advanceTimersByTimeAsync(700);
    pulse.pause();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(pulse.wasLate(0)).toBe(false);
    pulse.continue();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(pulse.wasLate(0)).toBe(true);
  });
});
