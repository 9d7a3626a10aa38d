import { expect, it } from 'vitest';
import { Shares } from '../../../src/access/shares.js';

/** How many the peers get until they are refused. */
function taken(shares: Shares, ...peers: string[]): number {
  let count = 0;
  while (shares.take(...peers)) count += 1;
  return count;
}

it('one peer gets half, the next a quarter, and a newcomer always something', () => {
  const shares = new Shares(100);
  expect(taken(shares, 'a')).toBe(50);
  expect(taken(shares, 'b')).toBe(25);
  expect(taken(shares, 'c')).toBe(12);
  expect(taken(shares, 'd')).toBe(6);
  expect(shares.taken).toBe(93);
});

it('what is given back is available to others', () => {
  const shares = new Shares(10);
  expect(taken(shares, 'a')).toBe(5);
  expect(taken(shares, 'b')).toBe(2);
  for (let at = 0; at < 4; at += 1) shares.give('a');
  expect(shares.of('a')).toBe(1);
  expect(taken(shares, 'b')).toBe(2);
});

it('a taker counts for each of its names, and an empty name does not count', () => {
  const shares = new Shares(100);
  expect(taken(shares, 'address', 'identity')).toBe(50);
  expect(shares.take('address', 'other')).toBe(false);
  expect(shares.take('elsewhere', 'identity')).toBe(false);
  expect(shares.take('elsewhere', 'other')).toBe(true);
  expect(taken(new Shares(10), '')).toBe(10);
});

it('a single place goes to the first taker, and only to that one', () => {
  const shares = new Shares(1);
  expect(shares.take('a')).toBe(true);
  expect(shares.take('b')).toBe(false);
  shares.give('a');
  expect(shares.take('b')).toBe(true);
});
