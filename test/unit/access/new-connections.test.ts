import { expect, it } from 'vitest';
import { NewConnections } from '../../../src/access/new-connections.js';

let nowMs = 0;
const clock = { nowMs: () => nowMs };
/** How many of so many connections of an address may come. */
function come(connections: NewConnections, count: number, remoteAddress: string | undefined): number {
  const socket = { remoteAddress };
  return Array.from({ length: count }, () => connections.count(String(remoteAddress), socket)).filter(Boolean)
    .length;
}

it.each([
  [10_000, 5_000],
  [10_001, 5_001],
  [100, 1_000],
])('with %d connections, an address may open %d at once, and then 100 a second', (connectionsMax, burst) => {
  nowMs = 0;
  const connections = new NewConnections(clock, connectionsMax);
  expect(come(connections, burst + 1, '10.0.0.1')).toBe(burst);
  expect(come(connections, 1, '10.0.0.2')).toBe(1);
  nowMs += 9;
  expect(come(connections, 1, '10.0.0.1')).toBe(0);
  nowMs += 991;
  connections.sweep();
  expect(come(connections, 101, '10.0.0.1')).toBe(100);
});

it('connections over Unix sockets are not counted', () => {
  expect(come(new NewConnections(clock, 100), 2_000, undefined)).toBe(2_000);
});
