import { expect, it } from 'vitest';
import { RecentCounts } from '../../../src/telemetry/recent-counts.js';

it('counts by the second, for the number of seconds that it was made for', () => {
  const counts = new RecentCounts(['good', 'bad'], 5);
  for (const good of [1, 2, 3]) {
    counts.add('good', good);
    counts.add('bad');
    counts.endSecond();
  }
  counts.add('good', 100);
  expect([0, 1, 2, 3].map((ago) => counts.within('good', ago))).toEqual([3, 2, 1, 0]);
  expect([1, 2, 3, 5, 99].map((seconds) => counts.over('good', seconds))).toEqual([3, 5, 6, 6, 6]);
  expect(counts.over('bad', 5)).toBe(3);
  expect(counts.total('good')).toBe(106);
});

it('forgets older seconds', () => {
  const counts = new RecentCounts(['good'], 5);
  for (let second = 1; second <= 23; second += 1) {
    counts.add('good', second);
    counts.endSecond();
  }
  expect([0, 1, 2, 3, 4].map((ago) => counts.within('good', ago))).toEqual([23, 22, 21, 20, 19]);
  expect(counts.over('good', 5)).toBe(23 + 22 + 21 + 20 + 19);
  expect(counts.over('good', 50)).toBe(counts.over('good', 5));
});

it('returns a rate over the seconds since its start at most', () => {
  const counts = new RecentCounts(['good'], 5);
  expect(counts.perSecond('good', 4)).toBe(0);
  counts.add('good', 10);
  counts.endSecond();
  expect(counts.perSecond('good', 4)).toBe(10);
  counts.endSecond();
  expect(counts.perSecond('good', 4)).toBe(5);
  for (let second = 0; second < 3; second += 1) counts.endSecond();
  expect(counts.perSecond('good', 4)).toBe(0);
});
