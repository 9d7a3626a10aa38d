import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Caller, textOf } from '../support/caller.js';
import {
  type Container,
  Containers,
  type ImageConfig,
  missingProgram,
  whyNoContainers,
} from '../support/containers.js';
import { Fleet } from '../support/fleet.js';
import { freePort } from '../support/redis-server.js';
import { standInBase } from '../support/stand-in-base.js';

// The image, built from the Dockerfile by buildah and run by podman. It needs no image registry: the test makes a base
// image from Node and this machine's programs, in place of the Dockerfile's. test/deploy checks the Dockerfile itself.

const BUILD_MS_MAX = 400_000;
const START_MS_MAX = 120_000;
const STOP_SECONDS_MAX = 60;
/** The bound of /app on disk. It has 31 MB. */
const APP_MB_MAX = 40;
const [, nodeMajor = ''] = /^ARG NODE_IMAGE=node:(\d+)-/m.exec(readFileSync('Dockerfile', 'utf8')) ?? [];

const missing = missingProgram();
const why = whyNoContainers() ?? (missing && `${missing} is missing`);
if (missing !== undefined && process.env.CI === 'true') throw new Error(`the image cannot be built: ${why}`);
if (why !== undefined) console.warn(`SKIPPED, the image built and run: ${why}`);

/** Returns the relative paths of all files and links in a folder. */
function pathsUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' });
}

/** Returns the size of a folder on a disk with blocks of 4 KiB, in MB. */
function megabytesOf(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const sizes = files.map(({ parentPath, name }) => statSync(join(parentPath, name)).size);
  return Math.round(sizes.reduce((sum, bytes) => sum + Math.ceil(bytes / 4_096) * 4_096, 0) / 1_000_000);
}

/** Returns the target of the service in a container. */
async function targetOf(container: Container): Promise<string> {
  await expect.poll(() => container.output, { timeout: START_MS_MAX }).toMatch(/^dibs listening grpc=\S+/m);
  return /grpc=(\S+)/.exec(container.output)?.[1] ?? '';
}

describe.skipIf(why !== undefined)('the image', () => {
  let containers: Containers;
  let image: ImageConfig;
  let root: string;
  let app: string;

  beforeAll(async () => {
    const beganMs = performance.now();
    const folder = mkdtempSync(join(tmpdir(), 'dibs-image-'));
    containers = new Containers(folder);
    const base = await standInBase(join(folder, 'base'), nodeMajor);
    await containers.imageOf(base.folder, base.env, 'localhost/node');
    await containers.build('localhost/dibs', { NODE_IMAGE: 'localhost/node', REVISION: 'some-revision' });
    image = await containers.configOf('localhost/dibs');
    root = await containers.filesOf('localhost/dibs');
    app = join(root, 'app');
    console.log(`the image was built in ${Math.round((performance.now() - beganMs) / 1_000)} s`);
  }, BUILD_MS_MAX);
  afterAll(() => containers?.close(), BUILD_MS_MAX);

  it('has only what production needs', () => {
    expect(readdirSync(app).sort()).toEqual(['dist', 'healthcheck.mjs', 'node_modules', 'package.json']);
    const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
    const isThere = (name: string) => existsSync(join(app, 'node_modules', name));
    expect(Object.keys(dependencies).filter((name) => !isThere(name))).toEqual([]);
    // Packages of the service depend on the types of Node.
    expect(Object.keys(devDependencies).filter(isThere)).toEqual(['@types/node']);
  });

  it('has no source maps, no types and no sources', () => {
    expect(pathsUnder(app).filter((path) => /\.(map|[cm]?ts)$/.test(path))).toEqual([]);
    const ours = pathsUnder(join(app, 'dist')).filter((path) => statSync(join(app, 'dist', path)).isFile());
    expect(ours.filter((path) => !/\.(js|binpb|html|css|lua|svg|proto)$/.test(path))).toEqual([]);
  });

  it('has no package manager and no headers of its base', () => {
    const managers = /(^|\/)(npm|npx|corepack|yarn|yarnpkg|yarn-v[\d.]+)(\/|$)/;
    expect(
      pathsUnder(root).filter((path) => managers.test(path) && !path.startsWith('app/node_modules/')),
    ).toEqual([]);
    expect(readdirSync(join(root, 'usr', 'local')).sort()).not.toContain('include');
    expect(existsSync(join(root, 'usr', 'local', 'bin', 'node'))).toBe(true);
  });

  it('is within its documented size', () => {
    const ours = megabytesOf(app);
    console.log(
      `the image has ${Math.round(image.Size / 1_000_000)} MB, of which ${ours} are above Node and its system`,
    );
    expect(ours).toBeLessThan(APP_MB_MAX);
    expect(ours).toBeGreaterThan(10);
  });

  it('has exactly the packages that the SBOM names', async () => {
    await promisify(execFile)('npm', ['run', '--silent', 'sbom']);
    const { components } = JSON.parse(readFileSync('dist/sbom.cdx.json', 'utf8'));
    const named = components.map(({ name, version }: Record<string, string>) => `${name}@${version}`);
    const { packages } = JSON.parse(readFileSync(join(app, 'node_modules', '.package-lock.json'), 'utf8'));
    const installed = Object.entries<{ version: string }>(packages).map(
      ([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`,
    );
    expect(named.sort()).toEqual([...new Set(installed)].sort());
  });

  it('depends on no platform above Node, so one build serves all', () => {
    const paths = pathsUnder(app);
    expect(paths.length).toBeGreaterThan(1_000);
    expect(paths.filter((path) => /\.(node|so|dylib|dll|exe)$/.test(path))).toEqual([]);
  });

  it('has labels, a user and a health check', () => {
    expect(image.Config).toMatchObject({
      User: '1000:1000',
      Labels: { 'org.opencontainers.image.revision': 'some-revision' },
    });
    expect(image.Healthcheck?.Test).toEqual(['CMD', 'node', 'healthcheck.mjs']);
    // The base image's variables about this machine are not copied.
    expect(image.Config.Env.filter((pair) => /registry|CA_CERTS/i.test(pair))).toEqual([]);
  });

  it('refuses to listen beyond its machine without encryption, unless DIBS_INSECURE allows it', async () => {
    const container = containers.run('localhost/dibs', {});
    expect(await container.ended).toBe(1);
    expect(container.output).toContain("DIBS_LISTEN: '0.0.0.0:50051' is reachable from other machines");
    expect(container.output).toContain('DIBS_INSECURE=true');
  });

  it('serves as another user from read-only files, is healthy, and drains on SIGTERM', async () => {
    const http = `0.0.0.0:${await freePort()}`;
    const container = containers.run('localhost/dibs', {
      DIBS_LISTEN: '127.0.0.1:0',
      DIBS_HTTP_LISTEN: http,
    });
    const caller = new Caller(await targetOf(container));
    const { token } = await caller.lease({ key: 'user:42' });
    await caller.publishText('user:42', token, 'Ada');
    expect(textOf(await caller.getOrLock({ key: 'user:42' }))).toBe('Ada');
    caller.close();

    const script = [
      `import { writeFileSync } from 'node:fs';`,
      `const failure = (path) => { try { writeFileSync(path, ''); } catch ({ code }) { return code; } };`,
      `console.log(process.getuid(), process.version, failure('/app/x'), failure('/tmp/x'));`,
    ].join('\n');
    const { output } = await container.exec(['node', '--input-type=module', '--eval', script]);
    expect(output).toMatch(new RegExp(`^1000 v${nodeMajor}\\.\\S+ EROFS EROFS\n$`));

    const [, ...command] = image.Healthcheck?.Test ?? [];
    expect(await container.exec(command)).toEqual({ code: 0, output: '' });
    await container.stop(STOP_SECONDS_MAX);
    expect(await container.ended).toBe(0);
    expect(container.output).toContain('"msg":"stopped"');
  });

  it('is unhealthy if nothing answers', async () => {
    const http = `127.0.0.1:${await freePort()}`;
    const container = containers.run('localhost/dibs', {
      DIBS_LISTEN: '127.0.0.1:0',
      DIBS_HTTP_LISTEN: http,
    });
    await targetOf(container);
    const [, ...command] = image.Healthcheck?.Test ?? [];
    const elsewhere = ['env', `DIBS_HTTP_LISTEN=127.0.0.1:${await freePort()}`, ...command];
    const { code, output } = await container.exec(elsewhere);
    expect(code).toBe(1);
    expect(output).toContain('/healthz: ');
    await container.stop(STOP_SECONDS_MAX);
  });

  it('works as a replica of a fleet on real Redis', async () => {
    const fleet = await Fleet.start({ replicas: 1 });
    try {
      const container = containers.run('localhost/dibs', {
        DIBS_LISTEN: '127.0.0.1:0',
        DIBS_HTTP_LISTEN: `127.0.0.1:${await freePort()}`,
        DIBS_QUORUM_NODES: fleet.lockNodes.map(({ url }) => url).join(','),
        DIBS_STORE_URL: fleet.store.url,
      });
      const here = new Caller(await targetOf(container));
      const there = new Caller(fleet.replicas[0]?.target ?? '');
      expect(container.output).toContain('mode=quorum');
      const { token } = await here.lease({ key: 'user:42' });
      const waits = there.getOrLock({ key: 'user:42', waitMs: 10_000 });
      await here.publishText('user:42', token, 'Ada');
      expect(textOf(await waits)).toBe('Ada');
      for (const caller of [here, there]) caller.close();
      await container.stop(STOP_SECONDS_MAX);
      expect(await container.ended).toBe(0);
    } finally {
      await fleet.stop();
    }
  });
});
