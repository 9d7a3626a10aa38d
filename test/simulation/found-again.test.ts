import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

// Old values that were served once, each with its mend taken out by a mutant: the search of all orders finds them
// again, and nobody tells it where.
const FOUND: readonly [mutant: string, scenario: string][] = [
  ['unstored-lease-feeds-after-a-change', 'a lease without the store, and a change (key)'],
  ['unstored-lease-feeds-after-its-tag', 'a lease without the store, and a change (tag)'],
  ['publish-counted-at-its-reply', 'a publish, and a change (key)'],
  ['own-invalidation-heard-by-its-wake', 'a value in memory, and its own change (key)'],
  ['near-cache-fresh-without-its-store', 'a value in memory, and a store that is lost'],
  ['view-judged-once-for-all', 'a crowd, and a change (key)'],
  ['early-refresh-serves-newcomers', 'an early refresh, and a change (key)'],
  ['marker-that-is-ignored', 'lock nodes that are flushed, and a record that is lost'],
];

const TSC = resolve('node_modules/.bin/tsc');

/** What the search says of a copy of the code that a mutant has broken. */
function exploredWith(
  mutant: string,
  scenario: string,
): { readonly code: number | null; readonly said: string } {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-found-again-'));
  try {
    for (const path of ['src', 'package.json', 'tsconfig.json', 'test/tsconfig.json']) {
      cpSync(path, join(folder, path), { recursive: true });
    }
    mkdirSync(join(folder, 'test', 'support'));
    cpSync('test/support/seeded-random.ts', join(folder, 'test/support/seeded-random.ts'));
    const filter = (path: string) => !path.endsWith('dist');
    cpSync('test/simulation', join(folder, 'test/simulation'), { recursive: true, filter });
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
    const options = { cwd: folder, encoding: 'utf8' } as const;
    execFileSync('git', ['apply', '--recount', resolve(`test/mutants/patches/${mutant}.patch`)], options);
    // Types may be broken by a mutant; what it says is written all the same.
    spawnSync(TSC, ['-p', 'test/simulation'], options);
    const main = 'test/simulation/dist/test/simulation/main.js';
    const search = [main, 'explore', '--deviations', '1', '--only', scenario];
    const { status, stdout } = spawnSync(process.execPath, search, options);
    return { code: status, said: stdout };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('the search of all orders', () => {
  it.each(FOUND)(
    'finds what %s breaks',
    (mutant, scenario) => {
      const { code, said } = exploredWith(mutant, scenario);
      expect(said).toMatch(/INV-(15|4) /);
      expect(code).toBe(1);
    },
    60_000,
  );
});
