import { expect, it } from 'vitest';
import { Lateness } from '../../../../src/coordination/degradation/lateness.js';
import { ManualClock } from '../../../support/manual-clock.js';

const SOFT_MS = 300;

function trial() {
  const clock = new ManualClock();
  const told: [boolean, number][] = [];
  const lateness = new Lateness({
    clock,
    observer: { storeLate: (late, sinceMs) => told.push([late, sinceMs]) },
    limits: { storeTimeoutMs: SOFT_MS },
  });
  const pass = async (ms: number) => {
    clock.advance(ms);
    for (let turn = 0; turn < 3; turn += 1) await Promise.resolve();
  };
  return { clock, told, lateness, pass };
}

it('the store is late once a reply is owed for the soft timeout, until the reply comes', async () => {
  const { clock, told, lateness, pass } = trial();
  let began = 0;
  lateness.onLate(() => {
    began += 1;
  });
  const owed = lateness.begin();
  await pass(SOFT_MS - 1);
  expect([lateness.late, began]).toEqual([false, 0]);
  await pass(1);
  expect([lateness.late, began]).toEqual([true, 1]);
  await pass(700);
  lateness.end(owed);
  expect(lateness.late).toBe(false);
  expect(told).toEqual([
    [true, SOFT_MS],
    [false, 1_000],
  ]);
  expect(clock.timers).toBe(0);
});

it('owedSinceMs is when the oldest request without a reply was sent', async () => {
  const { clock, lateness, pass } = trial();
  expect(lateness.owedSinceMs).toBeUndefined();
  const beganMs = clock.nowMs();
  const first = lateness.begin();
  await pass(100);
  const second = lateness.begin();
  expect(lateness.owedSinceMs).toBe(beganMs);
  lateness.end(first);
  expect(lateness.owedSinceMs).toBe(beganMs + 100);
  lateness.end(second);
  expect(lateness.owedSinceMs).toBeUndefined();
});

it('many overlapping replies in time never make the store late', async () => {
  const { told, lateness, pass } = trial();
  for (let sent = 0; sent < 20; sent += 1) {
    const [first, second] = [lateness.begin(), lateness.begin()];
    await pass(SOFT_MS / 2);
    lateness.end(first);
    const third = lateness.begin();
    await pass(SOFT_MS / 3);
    lateness.end(second);
    lateness.end(third);
  }
  expect(told).toEqual([]);
});

it('the store stays late if the next reply is late too', async () => {
  const { told, lateness, pass } = trial();
  const first = lateness.begin();
  await pass(100);
  const second = lateness.begin();
  await pass(SOFT_MS);
  lateness.end(first);
  expect(lateness.late).toBe(true);
  lateness.end(second);
  expect(told.map(([late]) => late)).toEqual([true, false]);
});

it('a reply that waits unread behind the timer is not late', async () => {
  const { clock, told, lateness } = trial();
  const gate = clock.holdTurn();
  const owed = lateness.begin();
  clock.advance(SOFT_MS);
  lateness.end(owed);
  gate.open();
  for (let turn = 0; turn < 3; turn += 1) await Promise.resolve();
  expect(told).toEqual([]);
});

it('the longest lateness is forgotten after a minute', async () => {
  const { lateness, pass } = trial();
  expect(lateness.longestMs).toBe(0);
  const inTime = lateness.begin();
  await pass(SOFT_MS - 1);
  lateness.end(inTime);
  expect(lateness.longestMs).toBe(0);
  const late = lateness.begin();
  await pass(800);
  expect(lateness.longestMs).toBe(800);
  lateness.end(late);
  const lessLate = lateness.begin();
  await pass(500);
  lateness.end(lessLate);
  expect(lateness.longestMs).toBe(800);
  await pass(29_000);
  expect(lateness.longestMs).toBe(800);
  await pass(60_000);
  expect(lateness.longestMs).toBe(0);
});
