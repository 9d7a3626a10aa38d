import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { simulate } from './simulate.js';

const KNOWN: number[] = JSON.parse(readFileSync('test/simulation/known-seeds-about-lateness.json', 'utf8'));
const SEEDS = 25;

describe('a simulated fleet on which replies are late, and nothing else goes wrong', () => {
  it('keeps every invariant in the seeds that once broke one', async () => {
    for (const seed of KNOWN) {
      expect((await simulate(seed, { about: 'lateness' })).violations, `seed ${seed}`).toEqual([]);
    }
  });

  it(`grants no lease that the store has not armed in ${SEEDS} seeds`, async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      expect((await simulate(seed, { about: 'lateness' })).violations, `seed ${seed}`).toEqual([]);
    }
  }, 900_000);
});
