import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Degraded, PublishOutcome, Read } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { TestAuthority } from '../support/certificates.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { freePort, RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';
import { until } from '../support/until.js';

// Follows the pages of deploy/operations literally: sets up a fleet from their blocks, and runs their commands. Only
// addresses, paths and the token of a lease are replaced.

const FOLDER = 'deploy/operations';
const PATIENCE = { timeout: 60_000, interval: 300 };
const SETUP_MS_MAX = 180_000;
const run = promisify(execFile);

const pageOf = (name: string) => readFileSync(join(FOLDER, `${name}.md`), 'utf8');

interface Block {
  readonly language: string;
  readonly text: string;
}

function blocksOf(page: string): Block[] {
  const found = [...pageOf(page).matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm)];
  return found.map(([, indent = '', language = '', text = '']) => ({
    language,
    text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }));
}

/** Returns the only block of the page that contains the words. */
function block(page: string, words: string): string {
  const [only, ...more] = blocksOf(page).filter(({ text }) => text.includes(words));
  if (only === undefined || more.length > 0)
    throw new Error(`${page}.md does not have exactly one block with ${words}`);
  return only.text;
}

/** Returns the commands of a terminal block, each with its output. */
function shown(text: string): { readonly command: string; readonly output: string }[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => ({ command: part.split('\n')[0] ?? '', output: part.split('\n').slice(1).join('\n') }));
}

describeWithRedis('the operations pages, taken literally', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-pages-'));
  const authority = new TestAuthority();
  const closing: (() => unknown)[] = [];
  let nodes: Guarded[];
  let store: Guarded;
  let env: Record<string, string>;
  let replicas: Replica[] = [];
  let caller: Caller;

  interface Guarded {
    readonly server: RedisServer;
    readonly tlsPort: number;
  }

  /** Starts a Redis of the pages, with its configuration, its user, and TLS as on the ACL page. */
  async function guarded(user: string, config: string, ...args: string[]): Promise<Guarded> {
    const tlsPort = await freePort();
    const { cert, key } = authority.issue({ names: 'DNS:localhost' });
    const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.ca];
    const users = block('redis-acl', `user ${user} `) + block('redis-acl', 'user default ');
    const rules = `${users}user admin on >admin ~* &* +@all\n`;
    const server = await RedisServer.start({
      config: config + rules,
      args: ['--tls-port', String(tlsPort), '--tls-auth-clients', 'no', ...files, ...args],
    });
    closing.push(() => server.stop());
    return { server, tlsPort };
  }

  const asAdmin = async ({ server }: Guarded, ...command: string[]) => {
    const login = ['-p', String(server.port), '--user', 'admin', '--pass', 'admin', '--no-auth-warning'];
    return (await run('redis-cli', [...login, ...command])).stdout.trim();
  };

  /** Returns the variables of the ACL page, with the addresses of this test. */
  function variables(): Record<string, string> {
    const text = nodes
      .reduce(
        (so, { tlsPort }, at) => so.replace(`lock-${at + 1}:6379`, `localhost:${tlsPort}`),
        block('redis-acl', 'DIBS_REDIS_CA'),
      )
      .replace('values:6379', `localhost:${store.tlsPort}`)
      .replace('/etc/dibs/redis-ca.pem', authority.ca);
    return Object.fromEntries(
      [...text.matchAll(/^(DIBS_\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]),
    );
  }

  async function start(more: Record<string, string> = {}): Promise<Replica> {
    const replica = await Replica.start({ ...env, ...more });
    closing.push(() => replica.kill());
    return replica;
  }

  beforeAll(async () => {
    const lockConfig = block('quorum', 'maxmemory-policy');
    nodes = await Promise.all([0, 1, 2].map(() => guarded('dibs-lock', lockConfig)));
    // The backup page: an append-only file with `appendfsync always`, and no snapshots.
    const [, fsync = ''] =
      /`appendfsync (\w+)`: the store then/.exec(pageOf('backup').replaceAll('\n', ' ')) ??
      /Set `appendfsync (\w+)`/.exec(pageOf('backup')) ??
      [];
    expect(fsync).toBe('always');
    store = await guarded('dibs-store', '', '--appendonly', 'yes', '--appendfsync', fsync);
    writeFileSync(join(folder, 'policies.yaml'), block('policies', 'namespaces:'));
    // On a busy machine, the store may stall, and a command takes seconds.
    const patient = { DIBS_LEASE_MS: '30000', DIBS_SILENCE_MS: '20000', DIBS_STORE_TIMEOUT_MS: '5000' };
    env = { ...variables(), ...patient, DIBS_CONFIG: join(folder, 'policies.yaml') };
    replicas = [await start(), await start()];
    caller = new Caller(replicas[0]?.target ?? '');
    closing.push(() => caller.close());
    const ask = async () => (await caller.getOrLock({ key: `first ${Math.random()}`, waitMs: 0 })).degraded;
    await until(async () => (await ask()) === Degraded.DEGRADED_NONE, PATIENCE.timeout);
  }, SETUP_MS_MAX);

  afterAll(async () => {
    for (const close of closing.reverse()) await close();
    authority.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a command in a shell, with the page's `dibs` and addresses replaced by those of this test. */
  async function shell(command: string): Promise<string> {
    const [one, two] = replicas as [Replica, Replica];
    const text = command
      .replace(/^(?:npx )?dibs /, `${process.execPath} dist/cli.js `)
      .replaceAll('127.0.0.1:50051', one.target)
      .replaceAll('127.0.0.1:50052', two.target)
      .replaceAll('http://dibs-1:9464', one.httpUrl)
      .replaceAll('http://dibs-2:9464', two.httpUrl);
    const { stdout } = await run('sh', ['-c', text], { env: { ...process.env, DIBS_TARGET: one.target } });
    return stdout;
  }

  async function publish(namespace: string, key: string, ttlMs: number, more = {}): Promise<void> {
    const { token } = await caller.lease({ namespace, key, holder: 'web-3/4711' });
    const payload = { $case: 'value', value: Buffer.from('value') } as const;
    const { outcome } = await caller.publish({
      namespace,
      key,
      token,
      payload,
      ttlMs,
      staleMs: 600_000,
      ...more,
    });
    expect(outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
  }

  it('every lock node is configured as its page says, and Redis refused nothing', async () => {
    for (const node of nodes) {
      expect(await asAdmin(node, 'CONFIG', 'GET', 'maxmemory-policy')).toMatch('noeviction');
      expect(await asAdmin(node, 'CONFIG', 'GET', 'appendonly')).toMatch('no');
    }
    for (const server of [store, ...nodes]) expect(await asAdmin(server, 'ACL', 'LOG')).toBe('');
  });

  it('each command of the command-line page prints what the page shows', async () => {
    await publish('prices', 'user:42', 1, { tags: ['users', 'tenant-7'] });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await caller.lease({ namespace: 'prices', key: 'user:42', holder: 'web-3/4711' });
    const labels = (text: string) => [...text.matchAll(/^(\w+) {2,}/gm)].map(([, label]) => label);
    const explained = shown(block('command-line', '$ dibs explain'));
    for (const { command, output } of explained) expect(labels(await shell(command))).toEqual(labels(output));

    const invalidated = shown(block('command-line', '$ dibs invalidate'));
    expect(invalidated.length).toBe(3);
    for (const { command, output } of invalidated) expect(await shell(command)).toBe(output);

    const [top] = shown(block('command-line', '$ dibs top'));
    // On a busy machine, a node may be late for a moment.
    await expect.poll(() => shell(top?.command ?? ''), PATIENCE).toMatch(/3 voting/);
    const printed = await shell(top?.command ?? '');
    const heads = (text: string) => /^REPLICA .*$/m.exec(text)?.[0].split(/ {2,}/);
    expect(heads(printed)).toEqual(heads(top?.output ?? ''));
  });

  it('the command of the alerts page works', async () => {
    expect(await shell(block('alerts', 'dibs explain').trim())).toMatch(
      /^key +user:42 in the namespace shop$/m,
    );
  });

  it('the commands of the tracing page work: a lease, a wait, and the value', async () => {
    const [lease, wait, publishing] = blocksOf('tracing').filter(({ text }) => text.includes('buf curl'));
    const { lease: got } = JSON.parse(await shell(lease?.text ?? ''));
    const waiting = shell(wait?.text ?? '');
    await shell((publishing?.text ?? '').replace('TOKEN', got.token));
    expect(JSON.parse(await waiting)).toMatchObject({ hit: { value: 'QWRh' } });
  });

  it('the command of the doctor page works on this fleet', async () => {
    const [{ command, output } = { command: '', output: '' }] = shown(block('doctor', '$ kubectl'));
    const args = command.replace(/^.* -- node /, '').split(' ');
    const { stdout } = await run(process.execPath, args, { env: { PATH: process.env.PATH, ...env } });
    const first = (text: string) => text.split('\n')[0]?.replace(/\d+\.\d+\.\d+/, '');
    expect(first(stdout)).toBe(first(output));
  });

  it('the auth file accepts the hash of a token, with the rest of its page', async () => {
    const hash = (await shell(`${block('access', 'openssl rand')}\nprintf %s "$token" >&2`)).trim();
    expect(hash).toMatch(/^sha256:[0-9a-f]{64}$/);
    const example = block('access', '# DIBS_AUTH_FILE');
    const file = join(folder, 'auth.yaml');
    writeFileSync(file, example.replace(/sha256:[0-9a-f]{64}/, hash));
    // The certificate names of the file need TLS, which the page requires first.
    const tls = authority.issue({ names: 'DNS:localhost,IP:127.0.0.1' });
    const replica = await start({
      DIBS_AUTH_FILE: file,
      DIBS_TLS_CERT: tls.cert,
      DIBS_TLS_KEY: tls.key,
      DIBS_TLS_CA: authority.ca,
    });
    expect(replica.mode).toBe('quorum');
  });

  it('the store restarts with everything that it acknowledged, and FLUSHALL empties it', async () => {
    await publish('', 'kept', 600_000);
    expect(await asAdmin(store, 'CONFIG', 'GET', 'appendonly')).toMatch('yes');
    const keys = await asAdmin(store, 'DBSIZE');
    await store.server.restart();
    expect(await asAdmin(store, 'DBSIZE')).toBe(keys);
    const ask = async () => {
      const answer = await caller.getOrLock({ key: 'kept', waitMs: 0, read: Read.READ_STORE });
      return answer.degraded === Degraded.DEGRADED_NONE ? textOf(answer) : 'degraded';
    };
    await expect.poll(ask, PATIENCE).toBe('value');
    expect(await asAdmin(store, 'FLUSHALL')).toBe('OK');
    const { outcome } = await caller.getOrLock({ key: 'kept', waitMs: 0, read: Read.READ_STORE });
    expect(outcome?.$case).not.toBe('hit');
  });

  it('a password changes without a failed call', async () => {
    const [, set = ''] = /`ACL SETUSER (dibs-store >NEW)`/.exec(pageOf('redis-acl')) ?? [];
    expect(await asAdmin(store, 'ACL', 'SETUSER', ...set.split(' '))).toBe('OK');
    const url = (env.DIBS_STORE_URL ?? '').replace(':PASSWORD@', ':NEW@');
    const replica = await start({ DIBS_STORE_URL: url });
    expect(await asAdmin(store, 'ACL', 'SETUSER', 'dibs-store', '<PASSWORD')).toBe('OK');
    const other = new Caller(replica.target);
    closing.push(() => other.close());
    const { token } = await other.lease({ key: 'after' });
    await other.publishText('after', token, 'v');
    const degraded = async () => (await other.getOrLock({ key: 'after', read: Read.READ_STORE })).degraded;
    await expect.poll(degraded, PATIENCE).toBe(Degraded.DEGRADED_NONE);
  });

  it('every page with commands is tested', () => {
    // jaeger.long.test.ts tests the last one.
    const tried = ['command-line', 'alerts', 'tracing', 'access', 'redis-acl', 'doctor', 'first-stampede'];
    const pages = readdirSync(FOLDER).map((name) => name.replace('.md', ''));
    const commands = pages.filter((page) =>
      blocksOf(page).some(({ language, text }) => language === 'sh' || text.startsWith('$ ')),
    );
    expect(commands.filter((page) => !tried.includes(page))).toEqual([]);
  });
});
