import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Degraded, Read } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { Caller, textOf } from '../support/caller.js';
import { TestAuthority } from '../support/certificates.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { MUCH_PATIENCE, PATIENT_ENV } from '../support/patience.js';
import { freePort, RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';
import { startClusterStore, startSentinelStore } from '../support/replicated-store.js';
import { until } from '../support/until.js';

const PAGE = readFileSync('deploy/operations/redis-acl.md', 'utf8');

/** Returns a rule of the ACL page, and the commands that it allows. */
function ruleOf(user: string) {
  const rule = [...PAGE.matchAll(/^```acl\n(.*)\n```$/gm)].find(([, it]) =>
    it?.startsWith(`user ${user} `),
  )?.[1];
  if (rule === undefined) throw new Error(`the page has no rule of ${user}`);
  return { rule, commands: [...rule.matchAll(/ \+([\w|]+)/g)].map(([, it = '']) => it) };
}

/** Returns the commands that the scripts of a role call. */
function calledBy(isOurs: (file: string) => boolean): string[] {
  const folder = 'src/redis/scripts';
  const scripts = readdirSync(folder).filter((file) => file.endsWith('.lua') && isOurs(file));
  const read = (file: string) => readFileSync(join(folder, file), 'utf8');
  const included = (text: string) =>
    [...text.matchAll(/^-- include: ([\w-]+)$/gm)].map(([, part]) => read(`parts/${part}.lua`));
  const text = scripts.flatMap((file) => [read(file), ...included(read(file))]).join('\n');
  return [...text.matchAll(/redis\.p?call\('(\w+)'/g)].map(([, it = '']) => it.toLowerCase());
}

/** A Redis with the page's rule, TLS, and an administrator for the test. */
class GuardedRedis {
  private constructor(
    readonly server: RedisServer,
    readonly tlsPort: number,
    readonly user: string,
  ) {}

  static async start(user: string, authority: TestAuthority, dir: string): Promise<GuardedRedis> {
    const tlsPort = await freePort();
    const { cert, key } = authority.issue({ names: 'DNS:localhost' });
    const aclFile = join(dir, `${tlsPort}.acl`);
    const rule = ruleOf(user).rule.replace('>PASSWORD', '>p@ss:word');
    writeFileSync(aclFile, `${rule}\nuser admin on >admin ~* &* +@all\n${ruleOf('default').rule}\n`);
    const tls = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.ca];
    const args = ['--aclfile', aclFile, '--tls-port', `${tlsPort}`, '--tls-auth-clients', 'no', ...tls];
    return new GuardedRedis(await RedisServer.start({ args }), tlsPort, user);
  }

  get url(): string {
    return `rediss://${this.user}:p%40ss%3Aword@localhost:${this.tlsPort}`;
  }

  async asAdmin(...command: string[]): Promise<string> {
    const login = ['-p', String(this.server.port), '--user', 'admin', '--pass', 'admin', '--no-auth-warning'];
    return (await promisify(execFile)('redis-cli', [...login, ...command])).stdout;
  }

  /** Returns every command that was called. */
  async called(): Promise<string[]> {
    const stats = await this.asAdmin('INFO', 'commandstats');
    return [...stats.matchAll(/^cmdstat_([\w|]+):/gm)].map(([, it = '']) => it);
  }
}

describeWithRedis('a fleet with the rules of the ACL page, over TLS', () => {
  const dir = mkdtempSync(join(tmpdir(), 'dibs-acl-'));
  const authority = new TestAuthority();
  let nodes: GuardedRedis[];
  let store: GuardedRedis;
  let replicas: Replica[] = [];
  let env: Record<string, string>;

  beforeAll(async () => {
    const start = (user: string) => GuardedRedis.start(user, authority, dir);
    nodes = await Promise.all(Array.from({ length: 3 }, () => start('dibs-lock')));
    store = await start('dibs-store');
    writeFileSync(join(dir, 'policies.yaml'), 'namespaces: { few: { max_rebuilds: 1 } }');
    env = {
      ...PATIENT_ENV,
      DIBS_QUORUM_NODES: nodes.map(({ url }) => url).join(','),
      DIBS_STORE_URL: store.url,
      DIBS_REDIS_CA: authority.ca,
      DIBS_CONFIG: join(dir, 'policies.yaml'),
    };
    replicas = await Promise.all([Replica.start(env), Replica.start(env)]);
  });
  afterAll(async () => {
    await Promise.all(replicas.map((replica) => replica.kill()));
    await Promise.all([...(nodes ?? []), ...(store ? [store] : [])].map(({ server }) => server.stop()));
    rmSync(dir, { recursive: true });
    authority.close();
  });

  it('supports every call of Dibs, and Redis refuses nothing', async () => {
    const [one, two] = replicas.map(({ target }) => new Caller(target)) as [Caller, Caller];
    const value = { $case: 'value', value: Buffer.from('v') } as const;
    const round = async (namespace: string, key: string) => {
      const lease = await one.lease({ namespace, key, leaseMs: 30_000 });
      const waiting = two.getOrLock({ namespace, key });
      await one.extend({ namespace, key, token: lease.token });
      await one.publish({ namespace, key, token: lease.token, payload: value, ttlMs: 60_000, tags: ['t'] });
      const answer = await waiting;
      expect(textOf(answer)).toBe('v');
      expect(answer.degraded).toBe(Degraded.DEGRADED_NONE);
    };
    await round('', 'k');
    await round('few', 'k');
    const failing = await one.lease({ key: 'failing' });
    await one.release({ key: 'failing', token: failing.token, failure: { message: 'no', retryAfterMs: 1 } });
    const retried = await one.lease({ key: 'retried', requestId: 'r' });
    const again = await one.lease({ key: 'retried', requestId: 'r' });
    expect(again.fence).toBe(retried.fence);
    await two.release({ key: 'retried', token: again.token });
    expect((await two.explain({ key: 'k' })).value).toBeDefined();
    await two.invalidate({ keys: ['k'] });
    await two.invalidate({ namespace: 'few', tags: ['t'] });
    await two.invalidate({ all: true });
    expect((await one.getOrLock({ key: 'k', read: Read.READ_STORE, waitMs: 0 })).outcome?.$case).toBe(
      'lease',
    );

    // Flushed scripts are sent again, to the store and for the first release of a lock.
    await until(async () => {
      const key = `flushed ${Math.random()}`;
      const { degraded, outcome } = await one.getOrLock({ key, waitMs: 0 });
      for (const redis of [...nodes, store]) await redis.asAdmin('SCRIPT', 'FLUSH');
      if (outcome?.$case === 'lease') await one.release({ key, token: outcome.value.token });
      const called = await (nodes[0] as GuardedRedis).called();
      return called.includes('eval') && degraded === Degraded.DEGRADED_NONE;
    });
    one.close();
    two.close();
    for (const redis of [...nodes, store]) expect((await redis.asAdmin('ACL', 'LOG')).trim()).toBe('');
  });

  it.each([
    ['dibs-lock', (file: string) => file.startsWith('lock-')],
    ['dibs-store', (file: string) => !file.startsWith('lock-')],
  ] as const)('%s has the rights that its scripts need, and no others', async (user, isOurs) => {
    const redis = user === 'dibs-store' ? store : (nodes[0] as GuardedRedis);
    const { commands } = ruleOf(user);
    const scripted = calledBy(isOurs);
    expect(scripted.filter((command) => !commands.includes(command))).toEqual([]);
    const used = new Set([...scripted, ...(await redis.called())]);
    expect(commands.filter((command) => !used.has(command))).toEqual([]);
  });

  it('refuses its users everything else', async () => {
    for (const redis of [store, nodes[0] as GuardedRedis]) {
      const login = [
        '-p',
        String(redis.server.port),
        '--user',
        redis.user,
        '--pass',
        'p@ss:word',
        '--no-auth-warning',
      ];
      const refused = async (...command: string[]) =>
        (await promisify(execFile)('redis-cli', [...login, ...command])).stdout;
      for (const command of [
        ['FLUSHALL'],
        ['KEYS', '*'],
        ['CONFIG', 'GET', '*'],
        ['SET', 'other', 'v'],
        ['ACL', 'LIST'],
      ]) {
        expect(await refused(...command)).toMatch(/^NOPERM/);
      }
    }
  });

  it('is not trusted by a replica without its authority or with another name', async () => {
    const { DIBS_REDIS_CA: _ca, ...untrusting } = env;
    const misnamed = { ...env, DIBS_STORE_URL: store.url.replace('localhost', '127.0.0.1') };
    const starting = [untrusting, misnamed].map((bad) => Replica.start({ ...bad, DIBS_LOG_LEVEL: 'debug' }));
    for (const replica of await Promise.all(starting)) {
      await expect
        .poll(() => replica.log)
        .toMatch(/self-signed certificate in certificate chain|does not match certificate/);
      const caller = new Caller(replica.target);
      expect((await caller.getOrLock({ key: 'x', waitMs: 0 })).degraded).not.toBe(Degraded.DEGRADED_NONE);
      caller.close();
      await replica.kill();
    }
  });
});

describeWithRedis('a Redis Cluster with the rule of the ACL page', () => {
  it('refuses nothing that Dibs needs', async () => {
    const cluster = await startClusterStore({ silentMs: MUCH_PATIENCE.silenceMs });
    const locks = await Promise.all(Array.from({ length: 3 }, () => RedisServer.start()));
    const more = /A Redis Cluster also needs `([^`]+)`/.exec(PAGE)?.[1]?.split(' ') ?? [];
    const [, user = '', ...rule] = ruleOf('dibs-store').rule.split(' ');
    const onEach = async (...command: string[]) => {
      const replies = cluster.servers.map(({ port }) =>
        promisify(execFile)('redis-cli', ['-p', `${port}`, ...command]),
      );
      return (await Promise.all(replies)).map(({ stdout }) => stdout.trim());
    };
    expect(new Set(await onEach('ACL', 'SETUSER', user, ...rule, ...more))).toEqual(new Set(['OK']));
    const env = {
      ...PATIENT_ENV,
      DIBS_QUORUM_NODES: locks.map(({ url }) => url).join(','),
      DIBS_STORE_URL: cluster.url.replace('//', `//${user}:PASSWORD@`),
    };
    const replica = await Replica.start(env);
    const caller = new Caller(replica.target);
    // On a busy machine, a replica may not have reached the whole cluster yet.
    await until(async () => {
      const { degraded, outcome } = await caller.getOrLock({ key: `first ${Math.random()}`, waitMs: 0 });
      return degraded === Degraded.DEGRADED_NONE && outcome?.$case === 'lease';
    });
    for (let at = 0; at < 30; at += 1) {
      const { token } = await caller.lease({ key: `k${at}` });
      await caller.publishText(`k${at}`, token, 'v');
      expect(textOf(await caller.getOrLock({ key: `k${at}` }))).toBe('v');
    }
    await caller.invalidate({ all: true });
    // The replica asks for the map of the cluster every second.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await onEach('ACL', 'LOG')).join('')).toBe('');
    caller.close();
    await replica.kill();

    // Without the right to ask about links, it says so and serves.
    await onEach('ACL', 'SETUSER', user, '-cluster|links');
    const other = await Replica.start(env);
    const another = new Caller(other.target);
    await expect.poll(() => other.log, { timeout: 60_000 }).toContain(LOG.linksHidden);
    await until(async () => (await another.getOrLock({ key: 'k0' })).outcome?.$case === 'lease');
    another.close();
    await other.kill();
    await Promise.all(locks.map((server) => server.stop()));
    await cluster.stop();
  });
});

describeWithRedis('sentinels with the rule of the ACL page', () => {
  it('accept a replica with their user, and refuse it nothing', async () => {
    const { rule } = ruleOf('dibs-sentinel');
    const [, user = '', ...rest] = rule.split(' ');
    const store = await startSentinelStore({ sentinelUser: [user, ...rest].join(' ') });
    const locks = await Promise.all(Array.from({ length: 3 }, () => RedisServer.start()));
    const fleet = {
      ...PATIENT_ENV,
      DIBS_QUORUM_NODES: locks.map(({ url }) => url).join(','),
      DIBS_STORE_URL: store.url,
    };
    const trusted = { ...fleet, DIBS_SENTINEL_USERNAME: user, DIBS_SENTINEL_PASSWORD: 'PASSWORD' };
    const starting = [trusted, fleet].map((env) => Replica.start(env));
    const [replica, stranger] = (await Promise.all(starting)) as [Replica, Replica];
    const caller = new Caller(replica.target);
    await until(async () => {
      const { degraded } = await caller.getOrLock({ key: 'k', waitMs: 0 });
      return degraded === Degraded.DEGRADED_NONE;
    });
    await until(() => /set DIBS_SENTINEL_USERNAME and DIBS_SENTINEL_PASSWORD/.test(stranger.log));
    for (const sentinel of store.sentinels) {
      const refused = [...(await store.aclLog(sentinel)).matchAll(/^object\n(.*)$/gm)].map(([, it]) => it);
      // The library sends its name. Redis 7.0 does not know this subcommand, so no rule can allow it.
      const told = refused.filter((object) => object !== 'client' && object !== 'client|setinfo');
      // The stranger had no user, so all its commands were refused.
      expect(told.filter((object) => object !== 'AUTH' && object !== 'auth')).toEqual([]);
    }
    caller.close();
    await Promise.all([replica.kill(), stranger.kill()]);
    await Promise.all([...locks, store].map((one) => one.stop()));
  });
});
