import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

// Runs `.ci/prepare.mjs` in a small repository whose build writes one character per run.

describe('prepare', () => {
  let repository: string;
  const at = (...path: string[]) => join(repository, ...path);

  beforeEach(() => {
    repository = mkdtempSync(join(tmpdir(), 'dibs-prepare-'));
    for (const folder of ['.ci', 'src', 'dist']) mkdirSync(at(folder));
    cpSync('.ci/prepare.mjs', at('.ci', 'prepare.mjs'));
    const build = `node -e "require('fs').appendFileSync('dist/builds','x')" && node -e "setTimeout(()=>{},300)"`;
    writeFileSync(at('package.json'), JSON.stringify({ name: 'it', version: '1.0.0', scripts: { build } }));
    writeFileSync(at('tsconfig.json'), '{}');
    writeFileSync(at('src', 'main.ts'), 'export {};');
    spawnSync('npm', ['install', '--package-lock-only', '--offline'], { cwd: repository });
  });
  afterEach(() => rmSync(repository, { recursive: true, force: true }));

  function prepare(): Promise<{ code: number | null; out: string; err: string }> {
    const child = spawn(process.execPath, [at('.ci', 'prepare.mjs')]);
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
  }
  const builds = () => readFileSync(at('dist', 'builds'), 'utf8').length;

  it('installs and builds once for any number of concurrent runs, and prints nothing on standard output', async () => {
    const ends = await Promise.all([prepare(), prepare(), prepare()]);
    expect(ends.map(({ code, out }) => ({ code, out }))).toEqual(Array(3).fill({ code: 0, out: '' }));
    expect(builds()).toBe(1);
    expect((await prepare()).err).toBe('');
    expect(builds()).toBe(1);
  });

  it('builds again when a source has changed', async () => {
    await prepare();
    writeFileSync(at('src', 'main.ts'), 'export const changed = true;');
    expect((await prepare()).err).toContain('building dist');
    expect(builds()).toBe(2);
  });

  it('installs again when the lock file names a missing package', async () => {
    await prepare();
    const lock = JSON.parse(readFileSync(at('package-lock.json'), 'utf8'));
    lock.packages['node_modules/absent'] = { version: '1.0.0', integrity: 'sha512-none' };
    writeFileSync(at('package-lock.json'), JSON.stringify(lock));
    expect((await prepare()).err).toContain('installing packages');
  });

  it('takes over from a process that died while preparing', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    symlinkSync(String(pid), at('.prepare.lock'));
    const ends = await Promise.all([prepare(), prepare()]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    expect(builds()).toBe(1);
  });

  it('ends with code 1 and says why when the build fails', async () => {
    writeFileSync(
      at('package.json'),
      JSON.stringify({ name: 'it', version: '1.0.0', scripts: { build: 'exit 3' } }),
    );
    const { code, err } = await prepare();
    expect(code).toBe(1);
    expect(err).toContain('`npm run --silent build` failed');
  });
});
