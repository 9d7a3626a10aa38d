import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/**
 * The release before this commit. Before the first release, the commit before the upgrade test was added. That commit
 * is found by the file it added, because a rewritten history would change its name. Undefined if the history does not
 * reach it, as in a shallow clone.
 */
export function earlierVersion(): string | undefined {
  // The Go client and others have their own tags.
  const released = git('describe', '--tags', '--abbrev=0', '--match', 'v[0-9]*', 'HEAD^');
  if (released !== undefined) return released;
  const added = git('log', '--diff-filter=A', '--format=%H', '-1', '--', 'test/integration/upgrade.test.ts');
  return added && git('rev-parse', '--verify', '--quiet', `${added}^`);
}

/** Whether the history is cut or missing, so that no earlier version is available. */
export function isWithoutHistory(): boolean {
  return git('rev-parse', '--is-shallow-repository') !== 'false';
}

/** Builds another version of the service with the packages installed here. */
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

  /** The file that `node` runs. */
  get main(): string {
    return join(this.#folder, 'dist', 'main.js');
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Returns the output; undefined if the command fails. */
function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
