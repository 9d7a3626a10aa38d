import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/config.js';
import { Degraded } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { TestAuthority } from '../support/certificates.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { freePort, RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';
import { until } from '../support/until.js';

// Runs on this machine what the Kubernetes manifests run, with their commands, configurations, variables and probes.
// test/deploy checks their form against the API.

const MANIFESTS = 'deploy/kubernetes';
const PASSWORDS: Readonly<Record<string, string>> = {
  REDISCLI_AUTH: '0123456789abcdef',
  LOCK_PASSWORD: 'abcdef',
  STORE_PASSWORD: 'fedcba',
};
/** A node that was restarted must not vote again before a busy machine has asked all of them. */
const LEASE_MS_MAX = 8_000;
const PAGE = readFileSync('deploy/operations/redis-acl.md', 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'dibs-manifests-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Container {
  readonly command?: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly secretKeyRef: { readonly key: string } };
  }[];
  readonly readinessProbe: { readonly exec: { readonly command: readonly string[] } };
}

function containerOf(
  file: string,
  kind: string,
  list: 'containers' | 'initContainers' = 'containers',
): Container {
  const documents = parseAllDocuments(readFileSync(join(MANIFESTS, file), 'utf8'));
  const manifest = documents.map((document) => document.toJS()).find((one) => one?.kind === kind);
  return manifest.spec.template.spec[list][0];
}

/** Replaces the references that Kubernetes replaces. */
function filled(text: string): string {
  return text.replaceAll(/\$\((\w+)\)/g, (reference, name) => PASSWORDS[name] ?? reference);
}

function environmentOf({ env }: Container): Record<string, string> {
  return Object.fromEntries(
    env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, filled(value)]])),
  );
}

/** A Redis as its container runs it, on its own port and in its own folder. It mounts files of the repository. */
class RedisContainer {
  readonly #dir: string;
  #child: ReturnType<typeof spawn> | undefined;

  private constructor(
    private readonly container: Container,
    private readonly conf: string,
    readonly port: number,
  ) {
    this.#dir = join(folder, `${port}`);
    mkdirSync(this.#dir);
    // The probe uses the default port.
    writeFileSync(
      join(this.#dir, 'redis-cli'),
      `#!/bin/sh\nPATH=\${PATH#*:} exec redis-cli -p ${port} "$@"\n`,
    );
    chmodSync(join(this.#dir, 'redis-cli'), 0o755);
  }

  static async start(file: string, conf: string): Promise<RedisContainer> {
    const redis = new RedisContainer(containerOf(file, 'StatefulSet'), conf, await freePort());
    await redis.restart();
    return redis;
  }

  /** Kills it with SIGKILL if it runs, and starts it. */
  async restart(): Promise<void> {
    await this.stop();
    const [command = '', ...args] = this.#filled(this.container.command ?? []);
    const place = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.#dir];
    this.#child = spawn(command, [...args, ...place], { stdio: 'ignore' });
    endWithThisProcess(this.#child);
    await until(async () => (await this.run(['redis-cli', '-e', 'PING'])).code === 0);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async run(command: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
    const [program = '', ...args] = this.#filled(command);
    const env = {
      PATH: [this.#dir, process.env.PATH].join(delimiter),
      REDISCLI_AUTH: PASSWORDS.REDISCLI_AUTH,
    };
    try {
      return { code: 0, output: (await promisify(execFile)(program, args, { env })).stdout.trim() };
    } catch (error) {
      return { code: Number((error as { code?: unknown }).code), output: String(error) };
    }
  }

  /** Whether the kubelet would consider it ready. */
  async isReady(): Promise<boolean> {
    return (await this.run(this.container.readinessProbe.exec.command)).code === 0;
  }

  #filled(command: readonly string[]): string[] {
    return command.map((word) =>
      filled(word)
        .replace('/etc/redis/redis.conf', resolve(MANIFESTS, 'quorum', this.conf))
        .replace('/etc/redis/', `${resolve(MANIFESTS, 'quorum')}/`),
    );
  }
}

it.each([
  ['the Deployment', containerOf('service/deployment.yaml', 'Deployment'), '0.0.0.0:50051'],
  [
    'the sidecar',
    containerOf('sidecar/dibs.yaml', 'Deployment', 'initContainers'),
    'unix:///run/dibs/dibs.sock',
  ],
])('%s has a configuration that Dibs accepts', (_, container, listen) => {
  const policy = readFileSync(join(MANIFESTS, 'service/policy.yaml'), 'utf8');
  const config = loadConfig({ DIBS_LISTEN: '0.0.0.0:50051', ...environmentOf(container) }, () => policy);
  expect(config.grpcListen).toEqual([listen]);
  expect(config.fleet?.lockGroups[0]).toHaveLength(5);
});

it.each([
  ['quorum/lock-nodes.yaml', 'dibs-lock'],
  ['quorum/value-store.yaml', 'dibs-store'],
])('%s gives %s the rights of the ACL page', (file, user) => {
  const [, rule] = /^user ([\w-]+ on .*)$/m.exec(PAGE.slice(PAGE.indexOf(`user ${user} `))) ?? [];
  const command = containerOf(file, 'StatefulSet').command ?? [];
  const rights = command.slice(command.indexOf('--user') + 1).join(' ');
  expect(rights.replace(/>\$\(\w+\)/, '>PASSWORD')).toBe(rule);
});

it('the policy of the example is valid', () => {
  const policy = readFileSync(join(MANIFESTS, 'examples/fleet/policy.yaml'), 'utf8');
  expect(loadConfig({ DIBS_CONFIG: 'policy.yaml' }, () => policy).policies.get('prices')?.maxRebuilds).toBe(
    20,
  );
});

it('the sidecar can be called by a container of another user, and drains', async () => {
  const { command = [] } = containerOf('sidecar/dibs.yaml', 'Deployment', 'initContainers');
  const [program = '', ...args] = command;
  const socket = join(folder, 'dibs.sock');
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, DIBS_LISTEN: `unix://${socket}`, DIBS_HTTP_LISTEN: '127.0.0.1:0' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  endWithThisProcess(child);
  const ended = once(child, 'exit');
  const [line] = await once(child.stdout, 'data');
  expect(String(line)).toMatch('dibs listening');
  // Connecting needs write permission.
  expect(statSync(socket).mode & 0o222).toBe(0o222);
  // The signal must reach Dibs and not a shell, which would end with 143 and leave Dibs running.
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});

it('the doctor lets Dibs start despite a fault of Redis, but not with a wrong configuration', async () => {
  const { command = [] } = containerOf('examples/doctor/doctor.yaml', 'Deployment', 'initContainers');
  const [program = '', ...args] = command;
  const run = (env: Record<string, string>) =>
    promisify(execFile)(program, args, { env: { PATH: process.env.PATH, ...env } });
  const nowhere = `redis://127.0.0.1:${await freePort()}`;
  const nodes = await Promise.all([1, 2, 3].map(async () => `redis://127.0.0.1:${await freePort()}`));
  const { stdout } = await run({ DIBS_QUORUM_NODES: nodes.join(','), DIBS_STORE_URL: nowhere });
  expect(stdout).toMatch(/^value store\n +FAULT +connection +connection refused/m);
  await expect(run({ DIBS_STORE_URL: nowhere })).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching('DIBS_STORE_URL: is set while DIBS_QUORUM_NODES is not'),
  });
});

describeWithRedis('the Redis of the manifests', () => {
  it('a lock node is ready when it votes, and not while it waits after a restart', async () => {
    const file = ['quorum/lock-nodes.yaml', 'lock.conf'] as const;
    const nodes = await Promise.all(Array.from({ length: 5 }, () => RedisContainer.start(...file)));
    const store = await RedisContainer.start('quorum/value-store.yaml', 'store.conf');
    const readiness = () => Promise.all(nodes.map((node) => node.isReady()));
    expect(await readiness()).toEqual([false, false, false, false, false]);
    expect(await store.isReady()).toBe(true);

    const env = environmentOf(containerOf('service/deployment.yaml', 'Deployment'));
    const here = Object.fromEntries(
      ['DIBS_QUORUM_NODES', 'DIBS_STORE_URL'].map((name) => [
        name,
        (env[name] ?? '')
          .replaceAll(/dibs-lock-(\d):6379/g, (_, at) => `127.0.0.1:${nodes[at]?.port}`)
          .replace('dibs-store:6379', `127.0.0.1:${store.port}`),
      ]),
    );
    const replica = await Replica.start({ ...here, DIBS_LEASE_MAX_MS: `${LEASE_MS_MAX}` });
    expect(replica.mode).toBe('quorum');
    await until(async () => (await readiness()).every((ready) => ready));
    for (const redis of [store, ...nodes]) {
      const user = redis === store ? 'dibs-store' : 'dibs-lock';
      const clients = (await redis.run(['redis-cli', 'CLIENT', 'LIST'])).output;
      expect(clients).toMatch(new RegExp(`name=dibs-.* user=${user} `));
      expect(clients).not.toMatch(/name=dibs-.* user=default /);
      expect((await redis.run(['redis-cli', 'ACL', 'LOG'])).output).toBe('');
    }

    const [first] = nodes;
    const downAtMs = performance.now();
    await first!.restart();
    expect(await readiness()).toEqual([false, true, true, true, true]);
    await until(() => first!.isReady(), 60_000);
    expect(performance.now() - downAtMs).toBeGreaterThan(LEASE_MS_MAX);

    await first!.stop();
    // Nothing answers. An empty reply must not count as an empty marker.
    expect(await first!.isReady()).toBe(false);
    await replica.kill();
    await Promise.all([store, ...nodes].map((redis) => redis.stop()));
  });

  it('a full lock node refuses, and keeps nothing across a restart', async () => {
    const node = await RedisContainer.start('quorum/lock-nodes.yaml', 'lock.conf');
    expect((await node.run(['redis-cli', 'CONFIG', 'GET', 'maxmemory-policy'])).output).toMatch('noeviction');
    await node.run(['redis-cli', 'SET', 'dibs:lock:x', 'held']);
    await node.restart();
    expect((await node.run(['redis-cli', 'EXISTS', 'dibs:lock:x'])).output).toBe('0');
    await node.stop();
  });

  it('the value store keeps acknowledged writes after kill -9, and evicts first what expires first', async () => {
    const store = await RedisContainer.start('quorum/value-store.yaml', 'store.conf');
    await store.run(['redis-cli', 'SET', 'acknowledged', 'yes']);
    await store.restart();
    await until(() => store.isReady());
    expect((await store.run(['redis-cli', 'GET', 'acknowledged'])).output).toBe('yes');
    // One by one, because the settings come in any order, and an empty last one would be trimmed.
    const settings = new Map<string, string>();
    for (const name of ['maxmemory-policy', 'appendfsync', 'save']) {
      const { output } = await store.run(['redis-cli', 'CONFIG', 'GET', name]);
      settings.set(name, output.split('\n')[1] ?? '');
    }
    const setting = (name: string) => settings.get(name);
    expect(setting('maxmemory-policy')).toBe('volatile-ttl');
    expect(setting('appendfsync')).toBe('always');
    expect(setting('save')).toBe('');
    await store.stop();
  });

  it('your own Redis is reached over TLS, with the keys of the example Secret', async () => {
    const authority = new TestAuthority();
    const ports = await Promise.all([1, 2, 3, 4].map(() => freePort()));
    const servers = await Promise.all(
      ports.map((port) => {
        const { cert, key } = authority.issue({ names: 'DNS:localhost' });
        const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.ca];
        return RedisServer.start({ args: ['--tls-port', `${port}`, '--tls-auth-clients', 'no', ...files] });
      }),
    );
    const [store, ...nodes] = ports.map((port) => `rediss://localhost:${port}`);
    const secret: Readonly<Record<string, string | undefined>> = {
      'quorum-nodes': nodes.join(','),
      'store-url': store,
    };
    const env = Object.fromEntries(
      containerOf('examples/own-redis/redis-urls.yaml', 'Deployment').env.flatMap(
        ({ name, value, valueFrom }) => {
          const text = valueFrom === undefined ? value : secret[valueFrom.secretKeyRef.key];
          return text === undefined ? [] : [[name, text.replace('/etc/dibs-redis/ca.crt', authority.ca)]];
        },
      ),
    );
    expect(Object.keys(env).sort()).toEqual(['DIBS_QUORUM_NODES', 'DIBS_REDIS_CA', 'DIBS_STORE_URL']);
    const replica = await Replica.start(env);
    const caller = new Caller(replica.target);
    await until(async () => {
      const { degraded } = await caller.getOrLock({ key: `k ${Math.random()}`, waitMs: 0 });
      return degraded === Degraded.DEGRADED_NONE;
    });
    caller.close();
    await replica.kill();
    await Promise.all(servers.map((server) => server.stop()));
    authority.close();
  });
});
