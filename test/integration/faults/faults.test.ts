import { execFileSync } from 'node:child_process';
import { beforeAll, expect, it } from 'vitest';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { soak } from './soak.js';

// A short run for every day. `npm run soak -- --minutes 20` is the long one.
const SECONDS = 45;

describeWithRedis('a fleet with one fault after another', () => {
  beforeAll(() => {
    execFileSync('node_modules/.bin/tsc', ['-p', 'test/integration/faults'], { stdio: 'pipe' });
  });

  it('keeps every promise that its clients can check', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const result = await soak({ seconds: SECONDS, seed, processes: 3, say: () => {} });
    expect(result.violations, `npm run soak -- --seed ${seed}`).toEqual([]);
    expect(result.late).toBe(0);
    const { counts } = result;
    expect(Object.keys(result.faults).length).toBeGreaterThanOrEqual(12);
    // The fleet was not idle, and the quorum was available at times: nearly always on an idle machine.
    expect(counts['publish STORED'] ?? 0).toBeGreaterThan(10);
    expect(counts['lease NONE'] ?? 0).toBeGreaterThan(10);
  });
});
