import { spawnSync } from 'node:child_process';

/** Builds `dist` from the current `src`, because the integration suites start `dist`. */
export function setup(): void {
  const { status } = spawnSync(process.execPath, ['.ci/prepare.mjs'], { stdio: 'inherit' });
  if (status !== 0) throw new Error('dist could not be built; the reason is above');
}
