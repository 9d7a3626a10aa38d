import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { VERSION } from '../src/version.js';
import { Service } from './service.js';

// The package that users install: packed in a fresh clone, and installed and used outside the repository.

const execute = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const bin = (name: string) => join(root, 'node_modules', '.bin', name);
const folder = mkdtempSync(join(tmpdir(), 'dibs-package-'));
const tarball = join(folder, `dibs-client-${VERSION}.tgz`);
const project = join(folder, 'project');
const packaged = (path: string) => readFileSync(join(project, 'node_modules/@dibs/client', path), 'utf8');
let service: Service;

const USE = `
await using users = new DibsClient();
const name: string | undefined = (await users.getOrRebuild('user:42', () => ({ name: 'Ada' }), { ttlMs: 60_000 }))?.name;
// @ts-expect-error: the type of the value is known.
const age: number | undefined = (await users.getOrRebuild('user:42', () => ({ name: 'Ada' }), { ttlMs: 60_000 }))?.name;
await using double = new MemoryDibs();
const memory: Dibs = double;
await memory.getOrRebuild('a', () => 1, { ttlMs: 1_000 });
const error: unknown = await users.getOrRebuild('', () => 1, { ttlMs: 1_000 }).catch((error: unknown) => error);
if (!(error instanceof DibsError)) throw new Error('no DibsError');
const code: string = error.code;
console.log(name, age, code);
`;
const IMPORTS = `import { type Dibs, DibsClient, DibsError } from '@dibs/client';
import { MemoryDibs } from '@dibs/client/testing';
`;

/** Checks that an error of each class is an instance of the same class of the other half. */
const BOTH_HALVES = `
import { createRequire } from 'node:module';
import * as esm from '@dibs/client';
const commonjs = createRequire(import.meta.url)('@dibs/client');
const samples = (of) => ({
  DibsError: new of.DibsError('UNKNOWN', 'text'),
  DibsBusyError: new of.DibsBusyError('undecided', 1, 0),
  RebuildFailedError: new of.RebuildFailedError('text', 1),
  DibsManyError: new of.DibsManyError(new Map([['a', new Error('text')]]), new Map()),
  ReentrantRebuildError: new of.ReentrantRebuildError('a'),
  UndecodableError: new of.UndecodableError('a', undefined),
  LeaseLostError: new of.LeaseLostError(),
});
const classes = Object.keys(esm).filter((name) => name.endsWith('Error'));
let checks = 0;
for (const [here, there] of [[esm, commonjs], [commonjs, esm], [esm, esm]]) {
  if ((here === there) !== (here.DibsError === there.DibsError)) throw new Error('the halves share a class');
  for (const [name, error] of Object.entries(samples(here))) {
    for (const other of classes) {
      if (error instanceof there[other] !== (name === other)) throw new Error(name + ' as ' + other);
      checks += 1;
    }
  }
  class Own extends there.DibsError {}
  if (samples(here).DibsError instanceof Own || !(new Own('UNKNOWN', 'text') instanceof here.DibsError)) {
    throw new Error('a derived class');
  }
  for (const no of [null, undefined, 'text', new Error('text'), {}]) if (no instanceof there.DibsError) throw no;
}
console.log(checks);
`;

function run(command: string, args: readonly string[], cwd = project) {
  return execute(command, [...args], { cwd, env: { ...process.env, DIBS_TARGET: service.target } });
}

/** Copies the files of git from which the package is made. Returns the folder. */
async function freshClone(): Promise<string> {
  const clone = join(folder, 'clone');
  const parts = ['package.json', 'package-lock.json', 'tsconfig.json', '.ci', 'clients/typescript'];
  const { stdout } = await run('git', ['ls-files', '-co', '--exclude-standard', ...parts], root);
  for (const path of stdout.trim().split('\n')) {
    mkdirSync(dirname(join(clone, path)), { recursive: true });
    cpSync(join(root, path), join(clone, path));
  }
  // A folder of links, not one link: an `npm ci` in the clone must not empty the folder of the repository.
  const modules = join(clone, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(join(root, 'node_modules'))) {
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  return clone;
}

/** Installs without a network. The dependencies are links to those of the repository. */
async function install(): Promise<void> {
  mkdirSync(project);
  const { dependencies, peerDependencies } = JSON.parse(
    readFileSync(join(root, 'clients/typescript/package.json'), 'utf8'),
  ) as Record<'dependencies' | 'peerDependencies', Record<string, string>>;
  const linked = [...Object.keys(dependencies), ...Object.keys(peerDependencies), '@types/node'];
  const links = linked.map((name) => [name, `file:${join(root, 'node_modules', name)}`]);
  const its = {
    private: true,
    dependencies: { '@dibs/client': `file:${tarball}`, ...Object.fromEntries(links) },
  };
  writeFileSync(join(project, 'package.json'), JSON.stringify(its));
  await run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund']);
}

beforeAll(async () => {
  service = await Service.start();
  const clone = await freshClone();
  const { stdout } = await run(
    'npm',
    ['pack', '--silent', '--pack-destination', folder],
    join(clone, 'clients/typescript'),
  );
  expect(stdout).toBe(`dibs-client-${VERSION}.tgz\n`);
  await install();
}, 600_000);
afterAll(async () => {
  await service?.stop();
  rmSync(folder, { recursive: true, force: true });
});

it.each([
  ['mts', 'import', 'esm'],
  ['cts', 'require', 'commonjs'],
])('a program in .%s is typed, and runs by %s', async (ending, _, half) => {
  const body = ending === 'cts' ? `async function main() {${USE}}\nvoid main();\n` : USE;
  writeFileSync(join(project, `use.${ending}`), IMPORTS + body);
  // This also checks the types of the package and of its dependencies.
  const options = ['--strict', '--target', 'es2022', '--module', 'nodenext', '--skipLibCheck', 'false'];
  await run(bin('tsc'), [...options, '--types', 'node', `use.${ending}`]);
  const { stdout } = await run(process.execPath, [`use.${ending.replace('t', 'j')}`]);
  expect(stdout).toBe('Ada Ada INVALID_ARGUMENT\n');
  const where = half === 'esm' ? 'import.meta.resolve("@dibs/client")' : 'require.resolve("@dibs/client")';
  const type = half === 'esm' ? 'module' : 'commonjs';
  const found = await run(process.execPath, [`--input-type=${type}`, '--eval', `console.log(${where})`]);
  expect(found.stdout).toMatch(new RegExp(`/dist/${half}/dibs\\.js\n$`));
});

it('instanceof recognises the errors of the other half', async () => {
  writeFileSync(join(project, 'both.mjs'), BOTH_HALVES);
  const { stdout } = await run(process.execPath, ['both.mjs']);
  expect(stdout).toBe(`${3 * 7 * 7}\n`);
});

it('the package contains the licence, and the sources that its maps name', () => {
  expect(packaged('LICENSE')).toBe(readFileSync(join(root, 'LICENSE'), 'utf8'));
  for (const half of ['esm', 'commonjs']) {
    for (const file of ['dibs.js.map', 'dibs.d.ts.map', 'generated/dibs/v1/coordinator.js.map']) {
      const map = JSON.parse(packaged(`dist/${half}/${file}`)) as { sources: string[]; sourceRoot?: string };
      expect(map.sources).toHaveLength(1);
      packaged(join('dist', half, dirname(file), map.sourceRoot ?? '', map.sources[0] ?? 'absent'));
    }
  }
});

it('publint and "are the types wrong" find no fault', async () => {
  const { stdout } = await run(bin('publint'), ['run', tarball, '--strict'], root);
  expect(stdout).toContain('All good!');
  // Without TypeScript's `node10` resolution, which does not know the `exports` of a package.
  await run(bin('attw'), [tarball, '--profile', 'node16', '--no-emoji'], root);
}, 600_000);
