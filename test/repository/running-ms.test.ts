import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { runningMs } from '../support/running-ms.js';

it('runningMs counts waiting time, and not the time for which this process was stalled', async () => {
  const tookMs = await runningMs(async () => {
    await sleep(100);
    const untilMs = performance.now() + 400;
    while (performance.now() < untilMs);
    await sleep(100);
  });
  expect(tookMs).toBeGreaterThan(60);
  expect(tookMs).toBeLessThan(400);
});
