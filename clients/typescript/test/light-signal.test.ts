import { expect, it } from 'vitest';
import { LightSignal } from '../src/light-signal.js';

it('tells its listeners once, in their order, unless they were removed', () => {
  const signal = new LightSignal();
  const told: string[] = [];
  const [one, two, removed] = ['one', 'two', 'removed'].map((name) => () => void told.push(name));
  for (const tell of [one, removed, two]) signal.addEventListener('abort', tell as () => void);
  signal.removeEventListener('abort', removed as () => void);
  signal.throwIfAborted();
  expect([signal.aborted, signal.reason]).toEqual([false, undefined]);
  signal.abort('first');
  signal.abort('second');
  signal.addEventListener('abort', one as () => void);
  expect(told).toEqual(['one', 'two']);
  expect([signal.aborted, signal.reason]).toEqual([true, 'first']);
  expect(() => signal.throwIfAborted()).toThrow('first');
});

it('has a real one, whether that is read before it is aborted or after', () => {
  const [early, late] = [new LightSignal(), new LightSignal()];
  const { real } = early;
  expect(real.aborted).toBe(false);
  for (const it of [early, late]) it.abort('first');
  for (const it of [early, late]) it.abort('second');
  expect([real.aborted, real.reason]).toEqual([true, 'first']);
  expect([late.real.aborted, late.real.reason]).toEqual([true, 'first']);
  expect(late.real).toBe(late.real);
});
