import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { PassingMap } from '../../../../src/coordination/words/passing-map.js';

describe('a map of short-lived entries', () => {
  test('has what was set and not deleted, in the order of insertion', () => {
    const map = new PassingMap<string, string>();
    for (const key of ['a', 'b', 'c', 'd']) map.set(key, key);
    expect(map.delete('b')).toBe(true);
    expect(map.delete('b')).toBe(false);
    map.set('a', 'A');
    map.set('b', 'again');
    expect(map.values()).toEqual(['A', 'c', 'd', 'again']);
    expect([map.get('a'), map.get('x'), map.has('c'), map.has('x'), map.size]).toEqual([
      ...['A', undefined, true, false, 4],
    ]);
  });

  test.each([0, 1, 100, 1_000])('keeps %i that stay, in order, while thousands pass', (stay) => {
    const map = new PassingMap<number, number>();
    for (let at = -stay; at < 5_000; at += 1) {
      map.set(at, at);
      if (at >= 0) expect(map.delete(at)).toBe(true);
    }
    expect(map.values()).toEqual(Array.from({ length: stay }, (_, at) => at - stay));
    expect([map.oldest, map.size]).toEqual([stay === 0 ? undefined : -stay, stay]);
  });

  test('promotes no entry that has passed to the old generation, unlike a Map', () => {
    expect(madeOld(new Map())).toBeGreaterThan(8_000_000);
    expect(madeOld(new PassingMap())).toBeLessThan(4_000_000);
  });
});

interface Passing {
  set(key: string, value: object): unknown;
  delete(key: string): unknown;
}

/** Bytes by which the old generation grows while values of 40 MB in total pass, 64 at a time. */
function madeOld(map: Passing): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;
  collect();
  const before = oldBytes();
  for (let at = 0; at < 50_000; at += 1) {
    map.set(
      `key ${at}`,
      Array.from({ length: 100 }, () => at),
    );
    map.delete(`key ${at - 64}`);
    if (at % 2_000 === 0) collect({ type: 'minor' });
  }
  return oldBytes() - before;
}

function oldBytes(): number {
  const old = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space');
  return old?.space_used_size ?? 0;
}
