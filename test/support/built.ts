import { spawnSync } from 'node:child_process';

/** The integration suites start what stands in `dist`: it has to be what stands in `src`. */
export function setup(): void {
  const { status } = spawnSync(process.execPath, ['.ci/prepare.mjs'], { stdio: 'inherit' });
  if (status !== 0) throw new Error('dist could not be built; the reason is above');
}
