import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Turns } from '../../../src/grpc/turns.js';

/** Work in pieces of these sizes. `noted` gets the name for each piece. */
function pieces(name: string, sizes: readonly number[], noted: string[]) {
  const left = [...sizes];
  return {
    next: () => {
      const size = left.shift();
      if (size !== undefined) noted.push(name);
      return size;
    },
  };
}

it('does little work at once, and of much work only as much as fits into a turn', async () => {
  const noted: string[] = [];
  const turns = new Turns();
  turns.begin(pieces('small', [1, 1, 1], noted));
  expect(noted).toHaveLength(3);
  turns.begin(pieces('large', Array(5).fill(30), noted));
  expect(noted).toHaveLength(6);
  await nextTurn();
  expect(noted).toHaveLength(8);
});

it('alternates between those with work left, so that small work waits for at most one piece of large work', async () => {
  const noted: string[] = [];
  const turns = new Turns();
  turns.begin(pieces('large', Array(50).fill(1_000), noted));
  turns.begin(pieces('small', [1], noted));
  expect(noted).toEqual(['large']);
  await nextTurn();
  await nextTurn();
  expect(noted).toContain('small');
  expect(noted.length).toBeLessThanOrEqual(4);
});
