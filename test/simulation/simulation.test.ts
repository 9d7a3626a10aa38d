import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Coverage, STEPS } from './coverage.js';
import { simulate } from './simulate.js';

const KNOWN: number[] = JSON.parse(readFileSync('test/simulation/known-seeds.json', 'utf8'));

describe('a simulated fleet', () => {
  it.each(KNOWN)('keeps every invariant in seed %d, which once broke one', async (seed) => {
    expect((await simulate(seed)).violations).toEqual([]);
  });

  it('behaves the same again with the same seed, and differently with another', async () => {
    const [one, again, other] = [await simulate(7), await simulate(7), await simulate(8)];
    expect(again.digest).toBe(one.digest);
    expect(other.digest).not.toBe(one.digest);
  });

  it('has at least 200 operations and 3 faults in a seed', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { operations, faults } = await simulate(seed);
      expect(operations).toBeGreaterThanOrEqual(200);
      expect(faults).toBeGreaterThanOrEqual(3);
    }
  });

  it('grants leases, stores values, degrades and refuses, and takes every step that --meet counts', async () => {
    const total: Record<string, number> = {};
    const taken = new Set<string>();
    for (let seed = 100; seed < 120; seed += 1) {
      const { counts, coverage } = await simulate(seed);
      for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count;
      for (const [, steps] of coverage) for (const [step] of steps) taken.add(step);
    }
    expect([...taken]).toEqual(expect.arrayContaining([...STEPS]));
    for (const [what, count] of Object.entries(total)) expect(count, what).toBeGreaterThan(0);
  });
});

describe('coverage', () => {
  it('lists the pairs that were met too rarely', () => {
    const coverage = new Coverage();
    coverage.met('a', 'x');
    coverage.add([
      [
        'a',
        [
          ['x', 1],
          ['y', 1],
        ],
      ],
    ]);
    expect(coverage.below(2, ['a', 'b'], ['x', 'y'])).toEqual(['a × y: 1', 'b × x: 0', 'b × y: 0']);
  });
});
