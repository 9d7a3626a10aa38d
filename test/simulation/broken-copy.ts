import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const TSC = resolve('node_modules/.bin/tsc');

/** Runs the simulation on a copy of the code to which a mutant was applied. Returns its exit code and output. */
export function playedWith(
  mutant: string,
  asked: readonly string[],
): { readonly code: number | null; readonly said: string } {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-found-again-'));
  try {
    for (const path of [
      'src',
      'clients/typescript/src',
      'package.json',
      'tsconfig.json',
      'test/tsconfig.json',
    ]) {
      cpSync(path, join(folder, path), { recursive: true });
    }
    mkdirSync(join(folder, 'test', 'support'));
    for (const file of ['seeded-random.ts', 'options.mjs', 'progress.mjs']) {
      cpSync(join('test/support', file), join(folder, 'test/support', file));
    }
    const filter = (path: string) => !path.endsWith('dist');
    cpSync('test/simulation', join(folder, 'test/simulation'), { recursive: true, filter });
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
    const options = { cwd: folder, encoding: 'utf8' } as const;
    execFileSync('git', ['apply', '--recount', resolve(`test/mutants/patches/${mutant}.patch`)], options);
    // A mutant may break the types. The compiler writes its output all the same.
    spawnSync(TSC, ['-p', 'test/simulation'], options);
    const main = 'test/simulation/dist/test/simulation/main.js';
    const { status, stdout } = spawnSync(process.execPath, [main, ...asked], options);
    return { code: status, said: stdout };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
