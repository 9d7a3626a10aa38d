import { expect, test } from 'vitest';
import { SharedTimers } from '../../../../src/coordination/leasing/shared-timers.js';
import { ManualClock } from '../../../support/manual-clock.js';

const TICK_MS = 4;

test('alarms of the same tick share one timer, and leave none behind', () => {
  const clock = new ManualClock();
  const shared = new SharedTimers(clock);
  const told: number[] = [];
  const cancels = Array.from({ length: 100 }, (_, at) => shared.after(3_000, () => told.push(at)));
  expect(clock.timers).toBe(1);
  for (const cancel of [...cancels, ...cancels]) cancel();
  expect(clock.timers).toBe(0);
  clock.advance(4_000);
  expect(told).toEqual([]);
});

test.each([0, 1, 99, 100, 103, 1_000])(
  'an alarm in %i ms is never early, and at most a tick late',
  (delayMs) => {
    const clock = new ManualClock();
    const shared = new SharedTimers(clock);
    let told = 0;
    shared.after(delayMs, () => {
      told += 1;
    });
    if (delayMs > 0) clock.advance(delayMs - 0.25);
    expect(told).toBe(0);
    clock.advance(0.25 + (delayMs < 100 ? 0 : TICK_MS));
    expect(told).toBe(1);
    clock.advance(10_000);
    expect(told).toBe(1);
  },
);

test('an alarm may set and cancel others', () => {
  const clock = new ManualClock();
  const shared = new SharedTimers(clock);
  const told: string[] = [];
  let cancel = () => {};
  shared.after(200, () => {
    told.push('first');
    cancel();
    shared.after(200, () => told.push('third'));
  });
  cancel = shared.after(200, () => told.push('second'));
  clock.advance(300);
  expect(told).toEqual(['first']);
  clock.advance(300);
  expect(told).toEqual(['first', 'third']);
});
