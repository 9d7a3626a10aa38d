import { expect, it } from 'vitest';
import { hashOf, rankOf } from '../src/key-share.js';

const ADDRESSES = ['10.0.0.1:50051', '10.0.0.2:50051', '10.0.0.3:50051', '[fd00::1]:50051'];

// The clients of all languages have this table: they must agree.
it.each([
  ['user:42', 3],
  ['user:43', 0],
  ['user:48', 2],
  ['user:41', 1],
  ['', 3],
  ['a', 3],
  ['product:1', 1],
  ['größe', 3],
  ['価格', 0],
  ['page:/en/index.html', 1],
])('gives the key "%s" to the same replica as every other client', (key, at) => {
  const ranks = ADDRESSES.map((address) => rankOf(hashOf(key), hashOf(address)));
  expect(ranks.indexOf(Math.max(...ranks))).toBe(at);
});

it('gives each replica its share, and moves only the keys of a replica that leaves', () => {
  const counts = [0, 0, 0, 0];
  for (let at = 0; at < 10_000; at += 1) {
    const ranks = ADDRESSES.map((address) => rankOf(hashOf(`key ${at}`), hashOf(address)));
    const has = ranks.indexOf(Math.max(...ranks));
    counts[has] = (counts[has] ?? 0) + 1;
    const left = ranks.slice(1);
    if (has > 0) expect(left.indexOf(Math.max(...left))).toBe(has - 1);
  }
  for (const count of counts) expect(count).toBeGreaterThan(2_300);
});
