import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { baseImageOf, buildImageFolder, type ImageFolder } from '../support/image-folder.js';
import { freePort } from '../support/redis-server.js';

// What the Dockerfile makes, made without Docker: production packages, a build from nothing but what it copies, on the Node
// of its base image. test/deploy judges the Dockerfile itself.

const BUILD_MS_MAX = 400_000;
const [, nodeMajor] = /^node:(\d+)-/.exec(baseImageOf(readFileSync('Dockerfile', 'utf8'))) ?? [];
const folder = mkdtempSync(join(tmpdir(), 'dibs-image-'));
let image: ImageFolder;
let env: Record<string, string>;

beforeAll(async () => {
  await promisify(execFile)('npm', [
    'install',
    '--no-audit',
    '--no-fund',
    '--prefix',
    folder,
    `node@${nodeMajor}`,
  ]);
  const path = [join(folder, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  image = await buildImageFolder(folder, { ...process.env, PATH: path, CI: '' });
  env = { ...image.env, PATH: path };
  // The process in it is not root, and may only read.
  chmodSync(folder, 0o755);
  await promisify(execFile)('chmod', ['-R', 'a+rX,a-w', image.folder]);
}, BUILD_MS_MAX);

afterAll(() => rm(folder, { recursive: true, force: true }), BUILD_MS_MAX);

/** As the image's user, where this process may become another. */
function start([command = '', ...args]: readonly string[], more: Record<string, string>) {
  const user = process.getuid?.() === 0 ? { uid: 1000, gid: 1000 } : {};
  const child = spawn(command, args, { cwd: image.folder, env: { ...env, ...more }, ...user });
  endWithThisProcess(child);
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output.text += data;
    });
  }
  return { child, output, ended: once(child, 'close').then(([code, signal]) => code ?? signal) };
}

it('has what production needs and nothing else', () => {
  expect(readdirSync(image.folder).sort()).toEqual([
    'dist',
    'healthcheck.mjs',
    'node_modules',
    'package.json',
  ]);
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  const isThere = (name: string) => existsSync(join(image.folder, 'node_modules', name));
  expect(Object.keys(dependencies).filter((name) => !isThere(name))).toEqual([]);
  // Packages that are needed have brought the types of Node along.
  expect(Object.keys(devDependencies).filter(isThere)).toEqual(['@types/node']);
});

it('has the packages that the SBOM names, and no other', async () => {
  await promisify(execFile)('npm', ['run', '--silent', 'sbom']);
  const { components } = JSON.parse(readFileSync('dist/sbom.cdx.json', 'utf8'));
  const named = components.map(({ name, version }: Record<string, string>) => `${name}@${version}`);
  const { packages } = JSON.parse(
    readFileSync(join(image.folder, 'node_modules', '.package-lock.json'), 'utf8'),
  );
  const installed = Object.entries<{ version: string }>(packages).map(
    ([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`,
  );
  expect(named.sort()).toEqual([...new Set(installed)].sort());
});

it('runs on the Node of its base image', async () => {
  const { output, ended } = start(['node', '--version'], {});
  expect(await ended).toBe(0);
  expect(output.text).toMatch(new RegExp(`^v${nodeMajor}\\.`));
});

it('is bound to no platform, so that one build serves all', () => {
  const names = readdirSync(image.folder, { recursive: true, encoding: 'utf8' });
  expect(names.length).toBeGreaterThan(1_000);
  expect(names.filter((name) => /\.(node|so|dylib|dll|exe)$/.test(name))).toEqual([]);
});

it('does not leave its machine without encryption unless it is told that it may', async () => {
  const { output, ended } = start(image.entrypoint, {});
  expect(await ended).toBe(1);
  expect(output.text).toContain("DIBS_LISTEN: '0.0.0.0:50051' is reachable from other machines");
  expect(output.text).toContain('DIBS_INSECURE=true');
});

it('serves as another user from files that it cannot write, is healthy, and drains on SIGTERM', async () => {
  const http = `0.0.0.0:${await freePort()}`;
  const listen = { DIBS_LISTEN: '127.0.0.1:0', DIBS_HTTP_LISTEN: http };
  const { child, output, ended } = start(image.entrypoint, listen);
  await expect
    .poll(() => output.text, { timeout: 20_000 })
    .toMatch(/^dibs listening grpc=.* mode=embedded$/m);
  expect(await (await fetch(`http://${http.replace('0.0.0.0', '127.0.0.1')}/healthz`)).text()).toBe('ok\n');
  expect(await start(image.healthcheck, listen).ended).toBe(0);
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(output.text).toContain('"msg":"stopped"');
  const afterwards = start(image.healthcheck, listen);
  expect(await afterwards.ended).toBe(1);
  expect(afterwards.output.text).toContain('/healthz: ');
});
