import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { Degraded } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { TestAuthority } from '../support/certificates.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { freePort } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';
import { until } from '../support/until.js';

// Runs the example `redis-tls` on this machine: the commands, configurations and probes of Redis with its patches, and
// the replica's URLs.

const MANIFESTS = 'deploy/kubernetes';
const EXAMPLE = join(MANIFESTS, 'examples/redis-tls');
const ADMIN = '0123456789abcdef';
const PASSWORDS: Readonly<Record<string, string>> = {
  REDISCLI_AUTH: ADMIN,
  LOCK_PASSWORD: 'abcdef',
  STORE_PASSWORD: 'fedcba',
};
const folder = mkdtempSync(join(tmpdir(), 'dibs-redis-tls-'));
const authority = new TestAuthority();
const { cert, key } = authority.issue({ names: 'DNS:localhost' });
const running: ReturnType<typeof spawn>[] = [];
afterAll(async () => {
  await Promise.all(running.map((child) => child.kill('SIGKILL') && once(child, 'exit')));
  authority.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Step {
  readonly path: string;
  readonly value: unknown;
}

const filled = (text: string) => text.replaceAll(/\$\((\w+)\)/g, (it, name) => PASSWORDS[name] ?? it);

/** Returns the values of both patches by the end of their paths. */
function stepsOf(patch: string): (end: string) => unknown[] {
  const steps = ['redis.yaml', patch].flatMap((name): Step[] =>
    parse(readFileSync(join(EXAMPLE, name), 'utf8')),
  );
  return (end) => steps.filter(({ path }) => path.endsWith(end)).map(({ value }) => value);
}

/** Starts a Redis of the example on a free port. The files that it mounts are in `folder`. */
async function start(file: string, conf: string) {
  const port = await freePort();
  const dir = join(folder, `${port}`);
  mkdirSync(dir);
  const placed = (text: string) =>
    filled(text)
      .replace('/etc/redis/redis.conf', resolve(MANIFESTS, 'quorum', conf))
      .replace('/etc/redis/tls.conf', join(dir, 'tls.conf'))
      .replace('/etc/redis/voting.sh', resolve(MANIFESTS, 'quorum/voting.sh'))
      .replace('/etc/redis-tls/tls.crt', cert)
      .replace('/etc/redis-tls/tls.key', key)
      .replace('/etc/redis-tls/ca.crt', authority.ca)
      .replace('tls-port 6379', `tls-port ${port}`);
  const tls = readFileSync(join(EXAMPLE, 'tls.conf'), 'utf8').split('\n').map(placed).join('\n');
  writeFileSync(join(dir, 'tls.conf'), tls);
  // The probe uses the default port.
  const cli = join(dir, 'redis-cli');
  writeFileSync(cli, `#!/bin/sh\nPATH=\${PATH#*:} exec redis-cli -p ${port} "$@"\n`);
  chmodSync(cli, 0o755);

  const documents = parseAllDocuments(readFileSync(join(MANIFESTS, 'quorum', file), 'utf8'));
  const set = documents.map((document) => document.toJS()).find(({ kind }) => kind === 'StatefulSet');
  const steps = stepsOf(file);
  const words = [...set.spec.template.spec.containers[0].command, ...steps('/command/-')];
  const [command = '', ...args] = words.map(placed);
  const child = spawn(command, [...args, '--bind', '127.0.0.1', '--dir', dir], { stdio: 'ignore' });
  endWithThisProcess(child);
  running.push(child);

  const env = { PATH: [dir, process.env.PATH].join(delimiter), REDISCLI_AUTH: ADMIN };
  const run = async ([program = '', ...rest]: string[]): Promise<string> =>
    (await promisify(execFile)(program, rest, { env })).stdout.trim();
  const probe = (name: string) =>
    run((steps(`/${name}/exec/command`)[0] as string[]).map(placed)).catch(() => 'failed');
  return { port, probe, run };
}

describeWithRedis('the example redis-tls', () => {
  it('runs Redis with TLS only, with working probes and a fleet that becomes ready', async () => {
    const nodes = await Promise.all([1, 2, 3, 4, 5].map(() => start('lock-nodes.yaml', 'lock.conf')));
    const store = await start('value-store.yaml', 'store.conf');
    for (const redis of [store, ...nodes])
      await until(async () => (await redis.probe('livenessProbe')) === 'PONG');
    expect(await store.probe('readinessProbe')).toBe('PONG');
    // The lock nodes wait for the first replica.
    expect(await Promise.all(nodes.map((node) => node.probe('readinessProbe')))).toEqual(
      Array(5).fill('failed'),
    );
    await expect(store.run(['redis-cli', '-e', 'PING'])).rejects.toThrow();

    const { containers } = parse(readFileSync(join(EXAMPLE, 'replica.yaml'), 'utf8')).spec.template.spec;
    const env = Object.fromEntries(
      (containers[0].env as { name: string; value?: string }[]).flatMap(({ name, value }) =>
        value === undefined
          ? []
          : [
              [
                name,
                filled(value)
                  .replaceAll(/dibs-lock-(\d):6379/g, (_, at) => `localhost:${nodes[at]?.port}`)
                  .replace('dibs-store:6379', `localhost:${store.port}`)
                  .replace('/etc/dibs-redis/ca.crt', authority.ca),
              ],
            ],
      ),
    );
    expect(Object.keys(env)).toEqual(['DIBS_QUORUM_NODES', 'DIBS_STORE_URL', 'DIBS_REDIS_CA']);
    const replica = await Replica.start(env);
    await until(async () =>
      (await Promise.all(nodes.map((node) => node.probe('readinessProbe')))).every((it) => it === ''),
    );
    const caller = new Caller(replica.target);
    await until(async () => {
      const { degraded } = await caller.getOrLock({ key: `k ${Math.random()}`, waitMs: 0 });
      return degraded === Degraded.DEGRADED_NONE;
    });
    caller.close();
    await replica.kill();
  });
});
