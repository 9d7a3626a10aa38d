import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { simulate } from './simulate.js';

const KNOWN: number[] = JSON.parse(readFileSync('test/simulation/known-seeds-about-groups.json', 'utf8'));
const SEEDS = 25;

describe('a simulated fleet with several groups of lock nodes, which change in a rollout', () => {
  it('keeps every invariant in the seeds that once broke one', async () => {
    for (const seed of KNOWN) {
      expect((await simulate(seed, { about: 'groups' })).violations, `seed ${seed}`).toEqual([]);
    }
  });

  it(`never grants two leases of a key at once in ${SEEDS} seeds`, async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      expect((await simulate(seed, { about: 'groups' })).violations, `seed ${seed}`).toEqual([]);
    }
  }, 900_000);
});
