import { expect, it } from 'vitest';
import { ReadSizes } from '../../../src/redis/read-sizes.js';

it('an unknown namespace counts as one of small values, and then follows the sizes that came', () => {
  const sizes = new ReadSizes();
  expect(sizes.expected('n')).toBe(512);
  sizes.came('n', 1_000);
  expect(sizes.expected('n')).toBe(1_000);
  expect(sizes.expected('another')).toBe(512);
});

it('the expected size rises at once and falls slowly', () => {
  const sizes = new ReadSizes();
  sizes.came('n', 1_000);
  sizes.came('n', 9_000);
  expect(sizes.expected('n')).toBe(9_000);
  sizes.came('n', 1_000);
  expect(sizes.expected('n')).toBe(8_000);
});

it('a read without a value changes nothing', () => {
  const sizes = new ReadSizes();
  sizes.came('n', undefined);
  expect(sizes.expected('n')).toBe(512);
  sizes.came('n', 1_000_000);
  sizes.came('n', undefined);
  expect(sizes.expected('n')).toBe(1_000_000);
});

it('the 256 namespaces that were read last are remembered', () => {
  const sizes = new ReadSizes();
  for (let at = 0; at < 256; at += 1) sizes.came(`n${at}`, 1);
  sizes.came('n0', 1);
  sizes.came('one more', 1);
  expect(['n0', 'n1', 'n2'].map((name) => sizes.expected(name))).toEqual([1, 512, 1]);
});
