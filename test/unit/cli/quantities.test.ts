import { expect, it } from 'vitest';
import { count, duration, rate, size } from '../../../src/cli/quantities.js';

it.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1_000, '1.0 s'],
  [59_949, '59.9 s'],
  [59_950, '1 min'],
  [61_000, '1 min 1 s'],
  [3_599_499, '59 min 59 s'],
  [3_599_500, '1 h'],
  [7_500_000, '2 h 5 min'],
  [86_399_999, '1 d'],
  [2 * 86_400_000 + 3 * 3_600_000, '2 d 3 h'],
])('%d ms is shown as %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

it.each([
  [0, '0 bytes'],
  [1_023, '1023 bytes'],
  [1_024, '1.0 KiB'],
  [1_048_576, '1.0 MiB'],
])('%d bytes is shown as %s', (bytes, text) => {
  expect(size(bytes)).toBe(text);
});

it.each([
  [0, '0'],
  [0.5, '0.5'],
  [10, '10'],
  [1_234.5, '1,235'],
])('%d a second is shown as %s', (perSecond, text) => {
  expect(rate(perSecond)).toBe(text);
});

it('a count has a singular and a plural', () => {
  expect([0, 1, 2_000].map((number) => count(number, 'key'))).toEqual(['0 keys', '1 key', '2,000 keys']);
});
