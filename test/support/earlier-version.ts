import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/**
 * The release before this commit; before there is one, the commit before the test of upgrades came, found by what it
 * added and not by its name, which a rewritten history would not have. Undefined where the history does not reach back
 * to it, as in a shallow clone.
 */
export function earlierVersion(): string | undefined {
  // The clients in Go and others have tags of their own.
  const released = git('describe', '--tags', '--abbrev=0', '--match', 'v[0-9]*', 'HEAD^');
  if (released !== undefined) return released;
  const added = git('log', '--diff-filter=A', '--format=%H', '-1', '--', 'test/integration/upgrade.test.ts');
  return added && git('rev-parse', '--verify', '--quiet', `${added}^`);
}

/** The history was cut, or there is none: what came before cannot be had. */
export function isWithoutHistory(): boolean {
  return git('rev-parse', '--is-shallow-repository') !== 'false';
}

/** Builds the service of another version, with the packages that are installed here. */
export class EarlierVersion {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dibs-earlier-'));

  constructor(version: string) {
    try {
      const archive = execFileSync(
        'git',
        ['archive', version, 'src', '.ci/copy-assets.mjs', 'package.json', 'tsconfig.json'],
        { maxBuffer: 1 << 28 },
      );
      execFileSync('tar', ['-x', '-C', this.#folder], { input: archive });
      symlinkSync(resolve('node_modules'), join(this.#folder, 'node_modules'));
      const inFolder = { cwd: this.#folder, stdio: 'inherit' } as const;
      execFileSync(process.execPath, ['node_modules/typescript/bin/tsc'], inFolder);
      execFileSync(process.execPath, ['.ci/copy-assets.mjs'], inFolder);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** What `node` runs. */
  get main(): string {
    return join(this.#folder, 'dist', 'main.js');
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What it prints; undefined if it fails. */
function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
