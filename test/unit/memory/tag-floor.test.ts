import { expect, test } from 'vitest';
import { TagFloor } from '../../../src/memory/tag-floor.js';

const names = (kind: string, count: number) => Array.from({ length: count }, (_, at) => `${kind} ${at}`);

test('a tag is never forgotten at an earlier time than its own, and a later stamp counts', () => {
  const floor = new TagFloor();
  for (const [at, tag] of names('user', 2_000).entries()) floor.forget(tag, 10 + at);
  for (const [at, tag] of names('user', 2_000).entries()) {
    expect(floor.of(tag)).toBeGreaterThanOrEqual(10 + at);
  }
  floor.forget('user 1', 5_000);
  expect(floor.of('user 1')).toBe(5_000);
  // Stamps may be forgotten in any order.
  floor.forget('user 1', 4_000);
  expect(floor.of('user 1')).toBe(5_000);
});

test('most other tags are not affected, and a full floor affects all of them only gradually', () => {
  const floor = new TagFloor();
  for (const tag of names('user', 1_000)) floor.forget(tag, 7);
  const others = names('page', 1_000);
  expect(others.filter((tag) => floor.of(tag) > 0).length).toBeLessThan(20);
  // A value expires when its clock is below the floor of its tag: not all at once, and not at the last stamp.
  const last = 100_000;
  for (let at = 1; at <= last; at++) floor.forget(`user ${at}`, at);
  const floors = others.map((tag) => floor.of(tag)).sort((one, other) => one - other);
  expect(floors[500]).toBeLessThan(last - 4_000);
  expect((floors[900] ?? 0) - (floors[100] ?? 0)).toBeGreaterThan(4_000);
  expect(new Set(floors).size).toBeGreaterThan(800);
});
