import { expect, it } from 'vitest';
import { EventLoopLag } from '../../src/event-loop-lag.js';

const TICK_MS = 100;

function lagTrial() {
  const told: [boolean, number][] = [];
  const lag = new EventLoopLag((behind, lagMs) => told.push([behind, Math.round(lagMs)]));
  let nowMs = performance.now();
  const tick = (lateByMs = 0) => {
    nowMs += TICK_MS + lateByMs;
    lag.tick(nowMs);
  };
  tick();
  return { lag, told, tick };
}

it('the event loop is behind after four late ticks in a row, which is reported once', () => {
  const { lag, told, tick } = lagTrial();
  for (let at = 0; at < 3; at += 1) tick(501);
  expect(lag.behind).toBe(false);
  tick(600);
  tick(700);
  expect(lag.behind).toBe(true);
  expect(told).toEqual([[true, 600]]);
});

it('one long stall is not lag', () => {
  const { lag, tick } = lagTrial();
  tick(5_000);
  tick();
  for (let at = 0; at < 3; at += 1) tick(501);
  expect(lag.behind).toBe(false);
});

it('the first tick within half a second ends the lag', () => {
  const { lag, told, tick } = lagTrial();
  for (let at = 0; at < 4; at += 1) tick(501);
  tick(499);
  expect(lag.behind).toBe(false);
  expect(told.map(([behind]) => behind)).toEqual([true, false]);
});

it('the lag is measured without calls until it is stopped', async () => {
  const lag = new EventLoopLag(() => {});
  lag.start();
  // Stalls of 650 ms, with a turn of the event loop between them.
  for (let at = 0; at < 5; at += 1) {
    const busyUntil = performance.now() + 650;
    while (performance.now() < busyUntil);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(lag.behind).toBe(true);
  lag.stop();
});
