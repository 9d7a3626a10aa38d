import { execFile } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The programs that the Dockerfile's commands use, in addition to Node and npm. */
const PROGRAMS = ['sh', 'env', 'find', 'rm'];

/** Files of a Node image that a running service does not need, in addition to npm. */
const LEFTOVERS = [
  'usr/local/bin/corepack',
  'usr/local/bin/npx',
  'usr/local/bin/yarn',
  'usr/local/bin/yarnpkg',
  'usr/local/include/node/node.h',
  'usr/local/share/doc/node/gdbinit',
  'opt/yarn-v1.22.22/bin/yarn.js',
];

export interface StandInBase {
  /** Its root file system. */
  readonly folder: string;
  /** The variables that let npm reach its registry from inside. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Makes in `folder` a substitute for a Node image, for machines that reach no image registry. It has Node of version
 * `major`, this machine's npm, and the few programs that a build runs, each with its shared libraries.
 */
export async function standInBase(folder: string, major: string): Promise<StandInBase> {
  for (const path of ['tmp', 'usr/bin', 'usr/local/bin']) mkdirSync(join(folder, path), { recursive: true });
  chmodSync(join(folder, 'tmp'), 0o1777);
  await copyProgram(await nodeOf(`${folder}.node`, major), folder, '/usr/local/bin/node');
  for (const name of PROGRAMS) {
    const { stdout } = await run('sh', ['-c', `command -v ${name}`]);
    await copyProgram(stdout.trim(), folder, `/bin/${name}`);
  }
  symlinkSync('/bin/env', join(folder, 'usr/bin/env'));
  for (const path of LEFTOVERS) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), '');
  }
  return { folder, env: await putNpm(folder) };
}

/** The path of the Node binary, which npm has as a package for each platform. */
async function nodeOf(folder: string, major: string): Promise<string> {
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefix', folder, `node@${major}`]);
  return join(folder, 'node_modules', '.bin', 'node');
}

/** Copies a program and its shared libraries to the paths that it expects. */
async function copyProgram(path: string, root: string, target: string): Promise<void> {
  const { stdout } = await run('ldd', [path]).catch(() => ({ stdout: '' }));
  const libraries = [...stdout.matchAll(/\/\S+/g)].map(([library]) => library);
  for (const [from, to] of [[path, target], ...libraries.map((library) => [library, library])] as const) {
    if (existsSync(join(root, to))) continue;
    mkdirSync(dirname(join(root, to)), { recursive: true });
    cpSync(realpathSync(from), join(root, to));
  }
}

async function putNpm(root: string): Promise<Record<string, string>> {
  const own = join((await run('npm', ['root', '--global'])).stdout.trim(), 'npm');
  cpSync(own, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
  const { stdout } = await run('npm', ['config', 'get', 'registry']);
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', npm_config_registry: stdout.trim() };
  // A certificate authority that only this machine knows, as behind a proxy.
  const authorities = process.env.NODE_EXTRA_CA_CERTS;
  if (authorities === undefined || !existsSync(authorities)) return env;
  cpSync(realpathSync(authorities), join(root, 'ca.pem'));
  return { ...env, NODE_EXTRA_CA_CERTS: '/ca.pem' };
}
