import { expect, test } from 'vitest';
import { within } from '../../../src/quorum/within.js';
import { ManualClock } from '../../support/manual-clock.js';

test('returns the result, the error, or the timeout', async () => {
  const clock = new ManualClock();
  expect(await within(clock, 10, async () => 7)).toEqual({ kind: 'done', value: 7 });
  expect(await within(clock, 10, () => Promise.reject(new Error('no')))).toEqual({
    kind: 'failed',
    why: 'no',
  });
  const hanging = within(clock, 10, () => new Promise(() => {}));
  clock.advance(10);
  expect(await hanging).toEqual({ kind: 'timed_out', why: 'no reply within 10 ms' });
  expect(clock.timers).toBe(0);
});

test('a step that throws synchronously has failed', async () => {
  const thrown = within(new ManualClock(), 10, () => {
    throw new Error('at once');
  });
  expect(await thrown).toEqual({ kind: 'failed', why: 'at once' });
});

test('a reply that is in the socket when the timer fires counts', async () => {
  const clock = new ManualClock();
  let reply: (value: string) => void = () => {};
  clock.turn = () => {
    reply('late, but here');
    return new Promise((resolve) => setImmediate(resolve));
  };
  const outcome = within(clock, 10, () => new Promise<string>((resolve) => (reply = resolve)));
  clock.advance(10);
  // The turn of the event loop that reads the socket comes before the verdict.
  expect(await outcome).toEqual({ kind: 'done', value: 'late, but here' });
});

test('what comes after the timeout is dropped, even an error', async () => {
  const clock = new ManualClock();
  let fail: (error: Error) => void = () => {};
  const outcome = within(clock, 10, () => new Promise((_, reject) => (fail = reject)));
  clock.advance(10);
  await outcome;
  fail(new Error('no listener'));
  await new Promise((resolve) => setImmediate(resolve));
});
