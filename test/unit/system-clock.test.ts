import { describe, expect, test } from 'vitest';
import { SystemClock } from '../../src/system-clock.js';

describe('the system clock', () => {
  const clock = new SystemClock();

  test('never goes back, and shows fractions of a millisecond', () => {
    const times = Array.from({ length: 1000 }, () => clock.nowMs());
    for (const [at, time] of times.entries()) expect(time).toBeGreaterThanOrEqual(times[at - 1] ?? 0);
    expect(times.some((time) => time % 1 !== 0)).toBe(true);
  });

  test('began near the wall clock, so that it counts on from one run of the process to the next', () => {
    expect(Math.abs(clock.nowMs() - Date.now())).toBeLessThan(60_000);
  });

  test('never fires early, at whatever fraction of a millisecond it is asked', async () => {
    const early: number[] = [];
    const fired = Array.from({ length: 100 }, async () => {
      // Asked at another fraction each time: this takes a tenth of a millisecond and something.
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

  test('fires once, and not at all when cancelled, also twice', async () => {
    let fired = 0;
    clock.after(0, () => fired++);
    const cancel = clock.after(0, () => (fired += 100));
    cancel();
    cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(fired).toBe(1);
  });

  test('does not take a very long delay for none', async () => {
    let fired = false;
    const cancel = clock.after(2 ** 40, () => {
      fired = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    cancel();
    expect(fired).toBe(false);
  });

  test('gives other work its turn', async () => {
    const order: string[] = [];
    setImmediate(() => order.push('other'));
    await clock.turn();
    order.push('after');
    expect(order).toEqual(['other', 'after']);
  });
});
