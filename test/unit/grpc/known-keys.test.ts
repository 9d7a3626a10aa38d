import { expect, it } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import { KnownKeys } from '../../../src/grpc/known-keys.js';

it('a key is known again, in its own namespace only', () => {
  const keys = new KnownKeys();
  expect(keys.of('a', 'k')).toBeUndefined();
  const key = keys.know(keyOf('a', 'k'));
  expect(keys.of('a', 'k')).toBe(key);
  expect(keys.of('b', 'k')).toBeUndefined();
  const other = keys.know(keyOf('b', 'k'));
  expect(keys.of('b', 'k')).toBe(other);
});

it('keys that are used are kept, and the rest is forgotten', () => {
  const keys = new KnownKeys();
  const named = keys.know(keyOf('a', 'named'));
  keys.know(keyOf('a', 'once'));
  for (let at = 0; at < 20_000; at += 1) {
    keys.know(keyOf('a', `key ${at}`));
    if (keys.of('a', 'named') !== named) throw new Error(`forgotten after ${at}`);
  }
  expect(keys.of('a', 'once')).toBeUndefined();
});

it('long keys are not kept', () => {
  const keys = new KnownKeys();
  for (const [length, isKept] of [
    [128, true],
    [129, false],
  ] as const) {
    const key = keyOf('a', 'k'.repeat(length));
    expect(keys.know(key)).toBe(key);
    expect(keys.of('a', key.key)).toBe(isKept ? key : undefined);
  }
});
