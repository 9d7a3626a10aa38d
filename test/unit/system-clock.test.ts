import { describe, expect, test } from 'vitest';
import { SystemClock } from '../../src/system-clock.js';

describe('the system clock', () => {
  const clock = new SystemClock();

  test('never goes back, and has fractions of a millisecond', () => {
    const times = Array.from({ length: 1000 }, () => clock.nowMs());
    for (const [at, time] of times.entries()) expect(time).toBeGreaterThanOrEqual(times[at - 1] ?? 0);
    expect(times.some((time) => time % 1 !== 0)).toBe(true);
  });

  test('begins near the wall clock, so that times of successive processes increase', () => {
    expect(Math.abs(clock.nowMs() - Date.now())).toBeLessThan(60_000);
  });

  test('never fires early, at any fraction of a millisecond', async () => {
    const early: number[] = [];
    const fired = Array.from({ length: 100 }, async () => {
      // Each timer starts at another fraction, because this takes a little more than a tenth of a millisecond.
      const untilMs = performance.now() + 0.13;
      while (performance.now() < untilMs);
      const startedMs = performance.now();
      await new Promise<void>((resolve) => clock.after(5, resolve));
      const tookMs = performance.now() - startedMs;
      if (tookMs < 5) early.push(tookMs);
    });
    await Promise.all(fired);
    expect(early).toEqual([]);
  });

  test('fires once, and not at all when cancelled, even twice', async () => {
    let fired = 0;
    clock.after(0, () => fired++);
    const cancel = clock.after(0, () => (fired += 100));
    cancel();
    cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(fired).toBe(1);
  });

  test('does not shorten a very long delay', async () => {
    let fired = false;
    const cancel = clock.after(2 ** 40, () => {
      fired = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    cancel();
    expect(fired).toBe(false);
  });

  test('lets other work run in a turn', async () => {
    const order: string[] = [];
    setImmediate(() => order.push('other'));
    await clock.turn();
    order.push('after');
    expect(order).toEqual(['other', 'after']);
  });
});
