import { expect, it } from 'vitest';
import { SeparateRuns } from '../../../src/quorum/separate-runs.js';

function trial() {
  const told: string[] = [];
  return { told, runs: new SeparateRuns((node) => told.push(node)) };
}

it('one node votes for each run, and the next one once that has left', () => {
  const { runs } = trial();
  expect(runs.claim('r1', 'a')).toBeUndefined();
  expect(runs.claim('r1', 'b')).toBe('a');
  expect(runs.claim('r1', 'a')).toBeUndefined();
  runs.leave('a');
  expect(runs.claim('r1', 'b')).toBeUndefined();
});

it('a value store that is also a lock node is reported once, whichever is known first', () => {
  const { told, runs } = trial();
  runs.claim('r1', 'a');
  runs.storeIs('other');
  expect(told).toEqual([]);
  runs.storeIs('r1');
  runs.storeIs('r1');
  runs.claim('r1', 'a');
  runs.claim('other', 'b');
  expect(told).toEqual(['a', 'b']);
});

it('it is reported again after a restart, which is another run', () => {
  const { told, runs } = trial();
  for (const run of ['r1', 'r2']) {
    runs.storeIs(run);
    runs.claim(run, 'a');
  }
  expect(told).toEqual(['a', 'a']);
});
