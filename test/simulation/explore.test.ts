import { describe, expect, it } from 'vitest';
import { exploreScenario, replay } from './explore.js';
import { SCENARIOS } from './scenarios.js';
import { touchedBy } from './small-world.js';

// Two deviations are played by `npm test`, three by `npm run test:long`; see simulate in .ci/test.mjs.
const BOUNDS = { deviations: 1, faults: 1 };

describe('every order of a small world', () => {
  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    'keeps every invariant: %s',
    async (_name, scenario) => {
      const { bad, orders, whole } = await exploreScenario(scenario, BOUNDS);
      expect(bad).toEqual([]);
      expect(whole).toBe(true);
      expect(orders).toBeGreaterThan(0);
    },
    30_000,
  );

  it('has a different name in each scenario', () => {
    expect(new Set(SCENARIOS.map(({ name }) => name)).size).toBe(SCENARIOS.length);
  });

  it('behaves the same again in the same order', async () => {
    const [first, second]: [string[], string[]] = [[], []];
    const [{ name = '' } = {}] = SCENARIOS;
    await replay(name, '', (line) => first.push(line));
    await replay(name, '', (line) => second.push(line));
    expect(second).toEqual(first);
    expect(first.length).toBeGreaterThan(10);
  });
});

describe('touchedBy', () => {
  it.each([
    ['r0-n1>', 'n1'],
    ['r0-n1<', 'r0'],
    ['r0 timers', 'r0'],
    ['caller@r1', 'r1'],
    ['lose r0-store>', 'store'],
    ['pause@r0', 'r0'],
    ['time passes', ''],
  ])('%s: %s', (name, touched) => {
    expect(touchedBy(name)).toBe(touched);
  });
});
