import { spawnSync } from 'node:child_process';
import { describe } from 'vitest';

/**
 * Vitest's `describe` for suites that start real Redis processes. Without `redis-server` they are skipped with a
 * warning; under `CI=true` they fail.
 */
export function describeWithRedis(name: string, suite: () => void): void {
  const present = spawnSync('redis-server', ['--version']).status === 0;
  const skipped = !present && process.env.CI !== 'true';
  if (skipped) console.warn(`SKIPPED, for want of redis-server: ${name}`);
  describe.skipIf(skipped)(name, suite);
}
