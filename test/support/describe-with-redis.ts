import { spawnSync } from 'node:child_process';
import { describe } from 'vitest';

/**
 * As vitest's `describe`, for suites that start real Redis processes. Where there is no `redis-server`
 * they are skipped, loudly; under `CI=true` they fail instead.
 */
export function describeWithRedis(name: string, suite: () => void): void {
  const present = spawnSync('redis-server', ['--version']).status === 0;
  const skipped = !present && process.env.CI !== 'true';
  if (skipped) console.warn(`SKIPPED, for want of redis-server: ${name}`);
  describe.skipIf(skipped)(name, suite);
}
