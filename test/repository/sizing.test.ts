import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { firstWall, growthTables, HEALTHY_SHARE, MEASURED, neededFor } from '../bench/fleet-model.js';

const COSTS = { cycleUs: 100, wakeUs: 5, storeUs: 50, fanOutUs: 1, lockNodeUs: 10 };

describe('what a fleet needs as it grows', () => {
  it('is on its page as computed from the measured costs', () => {
    const page = readFileSync('deploy/operations/growth.md', 'utf8');
    for (const line of growthTables(MEASURED)) expect(page).toContain(line);
    const { cycleUs, wakeUs, storeUs, fanOutUs, lockNodeUs } = MEASURED;
    for (const us of [cycleUs, wakeUs, storeUs, fanOutUs, lockNodeUs]) expect(page).toContain(`| ${us} µs`);
  });

  it('is first limited by the part with the highest cost per publish', () => {
    expect(firstWall(1, COSTS, 'all replicas')).toEqual({
      part: 'the replicas',
      publishesPerSecond: (HEALTHY_SHARE * 1e6) / 105,
    });
    // Each replica has a share of the cycles, and all of the wakes.
    expect(firstWall(2, COSTS, 'all replicas')).toMatchObject({ part: 'the replicas' });
    expect(firstWall(4, COSTS, 'all replicas')).toEqual({
      part: 'the value store',
      publishesPerSecond: (HEALTHY_SHARE * 1e6) / 53,
    });
    expect(firstWall(100, { ...COSTS, lockNodeUs: 200 }, 'all replicas').part).toBe('the lock nodes');
  });

  it('is a number of each part, and infinite if wakes alone fill every replica', () => {
    expect(neededFor(10_000, COSTS, 'all replicas')).toEqual({ replicas: 2, stores: 1, lockGroups: 1 });
    expect(neededFor(100_000, COSTS, 'all replicas').replicas).toBe(67);
    // 130,000 wakes of 5 µs are the whole share of a core.
    expect(neededFor(130_001, COSTS, 'all replicas').replicas).toBe(Number.POSITIVE_INFINITY);
    expect(neededFor(130_001, COSTS, 'two replicas').replicas).toBe(23);
    expect(neededFor(65_000, COSTS, 'two replicas').lockGroups).toBe(1);
    expect(neededFor(65_001, COSTS, 'two replicas').lockGroups).toBe(2);
  });
});
