import { expect, it } from 'vitest';
import { LazySignal } from '../src/lazy-signal.js';

it('aborts a signal that was read before, and one that is read after', () => {
  const [early, late] = [new LazySignal(), new LazySignal()];
  const { signal } = early;
  expect(signal.aborted).toBe(false);
  for (const it of [early, late]) it.abort('first');
  for (const it of [early, late]) it.abort('second');
  expect([signal.aborted, signal.reason]).toEqual([true, 'first']);
  expect([late.signal.aborted, late.signal.reason]).toEqual([true, 'first']);
  expect(late.signal).toBe(late.signal);
});
