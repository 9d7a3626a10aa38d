import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { simulate } from './simulate.js';

const KNOWN: number[] = JSON.parse(readFileSync('test/simulation/known-seeds-about-clients.json', 'utf8'));
/** Each client mutant of `found-again.test.ts` is found in fewer seeds. */
const SEEDS = 100;

describe('clients with near caches on a simulated fleet', () => {
  it.each(KNOWN)('keep every invariant in seed %d, which once broke one', async (seed) => {
    expect((await simulate(seed, { about: 'clients' })).violations).toEqual([]);
  });

  it('behave the same again with the same seed', async () => {
    const [one, again] = [await simulate(7, { about: 'clients' }), await simulate(7, { about: 'clients' })];
    expect(again.digest).toBe(one.digest);
  });

  it(`keep every invariant in ${SEEDS} seeds`, async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      expect((await simulate(seed, { about: 'clients' })).violations, `seed ${seed}`).toEqual([]);
    }
  }, 900_000);
});
