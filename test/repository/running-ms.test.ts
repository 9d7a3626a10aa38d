import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inRounds } from '../support/rounds.js';
import { runningMs } from '../support/running-ms.js';

it('runningMs counts waiting time, and not the time for which this process was stalled', () =>
  // A busy machine may stall the process during the waits too.
  inRounds([1, 2, 3, 4, 5], async () => {
    const tookMs = await runningMs(async () => {
      await sleep(100);
      const untilMs = performance.now() + 400;
      while (performance.now() < untilMs);
      await sleep(100);
    });
    expect(tookMs).toBeGreaterThan(60);
    expect(tookMs).toBeLessThan(400);
  }));
