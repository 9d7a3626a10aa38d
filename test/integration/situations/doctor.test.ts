import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Caller } from '../../support/caller.js';
import { TestAuthority } from '../../support/certificates.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { examined, runDoctor, troublesOf } from '../../support/doctor.js';
import { PATIENT_ENV } from '../../support/patience.js';
import { freePort, RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';
import { until } from '../../support/until.js';

// What `dibs doctor` reports in each situation, as its own process. Some examinations wait for seconds.

type Env = Readonly<Record<string, string>>;

const PAGE = readFileSync('deploy/operations/redis-acl.md', 'utf8');

describeWithRedis('dibs doctor', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-doctor-'));
  const authority = new TestAuthority();
  const servers: RedisServer[] = [];
  let nodes: RedisServer[];
  let store: RedisServer;
  let env: { DIBS_QUORUM_NODES: string; DIBS_STORE_URL: string };

  async function redis(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start({ args });
    servers.push(server);
    return server;
  }

  /** Starts a Redis with a default user without limits, and another user with this rule. */
  async function withUser(rule: string): Promise<RedisServer> {
    const file = join(folder, `${servers.length}-${Math.random()}.acl`);
    writeFileSync(file, `user ${rule}\nuser default on nopass ~* &* +@all\n`);
    return redis('--aclfile', file);
  }

  const as = (user: string, { port }: RedisServer) => `redis://${user}@127.0.0.1:${port}`;
  const withStore = (url: string): Env => ({ ...env, DIBS_STORE_URL: url });
  const withNode = (url: string): Env => {
    const others = nodes.slice(1).map((node) => node.url);
    return { ...env, DIBS_QUORUM_NODES: [url, ...others].join(',') };
  };

  beforeAll(async () => {
    store = await redis();
    nodes = await Promise.all([redis(), redis(), redis()]);
    const urls = nodes.map(({ url }) => url).join(',');
    env = { ...PATIENT_ENV, DIBS_QUORUM_NODES: urls, DIBS_STORE_URL: store.url };
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(folder, { recursive: true });
    authority.close();
  });

  it('a fleet that no replica has used yet', async () => {
    const report = await examined(env);
    expect(troublesOf(report)).toEqual([]);
    expect(report).toMatchObject({ code: 0, healthy: true, mode: 'quorum', faults: 0, warnings: 0 });
    const made = (part: string) => report.findings.filter((it) => it.part === part).map(({ check }) => check);
    expect(made('end to end')).toEqual(['subscription', 'lease', 'publish', 'wake', 'invalidation']);
    // The next start must still be a first start.
    for (const server of [store, ...nodes]) expect(await server.keys('*')).toEqual([]);
  });

  it('a fleet in use, with the rules of the ACL page', async () => {
    const rule = (user: string) => new RegExp(`^user (${user} on .*)$`, 'm').exec(PAGE)?.[1] ?? '';
    const lock = await Promise.all([1, 2, 3].map(() => withUser(rule('dibs-lock'))));
    const values = await withUser(rule('dibs-store'));
    const guarded = {
      ...PATIENT_ENV,
      DIBS_QUORUM_NODES: lock.map((server) => as('dibs-lock:PASSWORD', server)).join(','),
      DIBS_STORE_URL: as('dibs-store:PASSWORD', values),
    };
    const replica = await Replica.start(guarded);
    await until(async () =>
      (await Promise.all(lock.map((one) => one.keys('*')))).every(({ length }) => length > 0),
    );
    const kept = async () => Promise.all([values, ...lock].map(async (one) => (await one.keys('*')).sort()));
    const before = await kept();
    const report = await examined(guarded);
    expect(troublesOf(report)).toEqual([]);
    expect(report.findings.filter(({ check }) => check === 'votes').map(({ detail }) => detail)).toEqual(
      Array(3).fill('locked, refused a second lock, extended, released'),
    );
    expect(await kept()).toEqual(before);
    for (const one of [values, ...lock]) expect((await one.command('ACL', 'LOG')).trim()).toBe('');
    // The replica still works.
    const caller = new Caller(replica.target);
    expect((await caller.getOrLock({ key: 'k' })).outcome?.$case).toBe('lease');
    caller.close();
    await replica.kill();
  });

  interface Situation {
    readonly title: string;
    env(): Promise<Env>;
    readonly says: RegExp;
    readonly result?: 'warning';
  }

  const situations: Situation[] = [
    {
      title: 'doctor: the password of the store is wrong',
      env: async () => withStore(`redis://:wrong@127.0.0.1:${(await redis('--requirepass', 'right')).port}`),
      says: /^fault of value store: connection: wrong user or password/,
    },
    {
      title: 'doctor: two lock nodes are one Redis under two names',
      env: async () => withNode(`redis://localhost:${nodes[1]?.port}`),
      says: /^fault of lock nodes: separate: .* are the same Redis; the second does not vote/,
    },
    {
      title: 'doctor: the store is a lock node too',
      env: async () => withStore(nodes[0]?.url ?? ''),
      says: /^warning of value store: separate: it is also a lock node/,
      result: 'warning',
    },
    {
      title: 'doctor: one command of the store is not allowed',
      env: async () => withStore(as('dibs:pw', await withUser('dibs on >pw ~* &* +@all -hincrby'))),
      says: /^fault of value store: rights: the user may not use hincrby; see/,
    },
    {
      title: 'doctor: one key of a lock node is not allowed',
      env: async () => withNode(as('dibs:pw', await withUser('dibs on >pw ~dibs:lock:* ~dibs:wait +@all'))),
      says: /^fault of lock node .*: rights: the user may not use the key dibs:marker; see/,
    },
    {
      title: 'doctor: the channel of wakes is not allowed',
      env: async () => withStore(as('dibs:pw', await withUser('dibs on >pw ~* resetchannels +@all'))),
      says: /^fault of value store: rights: the user may not use publish; see/,
    },
    {
      title: 'doctor: the store refuses SELECT',
      env: async () => withStore(`${as('dibs:pw', await withUser('dibs on >pw ~* &* +@all -select'))}/1`),
      says: /^fault of value store: connection: SELECT failed: the Redis user lacks rights/,
    },
    {
      title: 'doctor: a lock node may evict',
      env: async () => withNode((await redis('--maxmemory-policy', 'allkeys-lru')).url),
      says: /^fault of lock node .*: eviction: maxmemory-policy is allkeys-lru; .* does not vote/,
    },
    {
      title: 'doctor: the store is full',
      env: async () => withStore((await redis('--maxmemory', '1')).url),
      says: /^fault of value store: writes: Redis is full; raise its maxmemory/,
    },
    {
      title: 'doctor: the store saves snapshots, and has no append-only file',
      env: async () => {
        const server = await redis('--save', '3600 1');
        await server.command('SAVE');
        return withStore(server.url);
      },
      says: /^warning of value store: snapshots: .* a restart brings back invalidated values: set save ""/,
      result: 'warning',
    },
    {
      title: 'doctor: the store is a read-only replica',
      env: async () => withStore((await redis('--replicaof', '127.0.0.1', `${store.port}`)).url),
      says: /^fault of value store: kind: it is a read-only replica; use the address of its master/,
    },
    {
      title: 'doctor: the store is a cluster, behind redis://',
      env: async () => {
        const server = await redis('--cluster-enabled', 'yes');
        await server.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
        await until(async () => /cluster_state:ok/.test(await server.command('CLUSTER', 'INFO')));
        return withStore(server.url);
      },
      says: /^fault of value store: kind: it is a node of a cluster; use redis\+cluster:/,
    },
    {
      title: 'doctor: a lock node is down',
      env: async () => withNode(`redis://127.0.0.1:${await freePort()}`),
      says: /^fault of lock node .*: connection: connection refused; is Redis running/,
    },
    {
      title: 'doctor: the store does not answer',
      env: async () => {
        const server = await redis();
        server.hang();
        return withStore(server.url);
      },
      says: /^fault of value store: connection: no (?:answer|reply)/,
    },
    {
      title: 'doctor: the certificate of the store has expired',
      env: async () => {
        const port = await freePort();
        const { cert, key } = authority.issue({ days: -1 });
        const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.ca];
        await redis('--tls-port', `${port}`, '--tls-auth-clients', 'no', ...files);
        return { ...withStore(`rediss://localhost:${port}`), DIBS_REDIS_CA: authority.ca };
      },
      says: /^fault of value store: connection: the certificate of Redis has expired; renew it/,
    },
    {
      title: 'doctor: the certificate of the store expires soon',
      env: async () => {
        const port = await freePort();
        const { cert, key } = authority.issue({ days: 5 });
        const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.ca];
        await redis('--tls-port', `${port}`, '--tls-auth-clients', 'no', ...files);
        return { ...withStore(`rediss://localhost:${port}`), DIBS_REDIS_CA: authority.ca };
      },
      says: /^warning of value store: certificate: ends in \d+ days, on .*; renew it/,
      result: 'warning',
    },
    {
      title: 'doctor: the store has a newer format',
      env: async () => {
        const server = await redis();
        await server.command('SET', 'dibs:format', '99');
        return withStore(server.url);
      },
      says: /^fault of value store: format: the value store has the format '99'/,
    },
    {
      title: 'doctor: the collector is down',
      env: async () => ({ ...env, OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` }),
      says: /^warning of collector: connection: 127\.0\.0\.1:\d+ cannot be reached/,
      result: 'warning',
    },
    {
      title: 'doctor: a misspelt variable',
      env: async () => ({ ...env, DIBS_LEASE_MSS: '5' }),
      says: /^warning of configuration: variables: DIBS_LEASE_MSS is unknown .*; did you mean DIBS_LEASE_MS\?/,
      result: 'warning',
    },
  ];

  it.each(situations)('$title', async ({ env, says, result }) => {
    const report = await examined(await env());
    expect(troublesOf(report)).toContainEqual(expect.stringMatching(says));
    // One cause is one fault.
    expect(troublesOf(report).filter((line) => !says.test(line) && !line.includes('skipped'))).toEqual([]);
    expect(report).toMatchObject(
      result === 'warning' ? { code: 0, healthy: true } : { code: 1, healthy: false },
    );
  });

  it('doctor: the store saves snapshots beside an append-only file', async () => {
    const server = await redis('--save', '3600 1', '--appendonly', 'yes');
    await server.command('SAVE');
    expect(troublesOf(await examined(withStore(server.url)))).toEqual([]);
  });

  it('doctor: warnings that count as faults', async () => {
    const { code, healthy, faults } = await examined({ ...env, DIBS_LEASE_MSS: '5' }, '--strict');
    expect({ code, healthy, faults }).toEqual({ code: 1, healthy: false, faults: 0 });
  });

  it('doctor: a configuration that a replica would refuse', async () => {
    const policies = join(folder, 'policies.yaml');
    writeFileSync(policies, 'namespaces: { prices: { stale: perhaps } }');
    const refused = {
      ...env,
      DIBS_STORE_URL: 'redis://:secret@@x',
      DIBS_LEASE_MS: '5',
      DIBS_CONFIG: policies,
    };
    const { code, stdout, stderr } = await runDoctor(refused);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/DIBS_STORE_URL: cannot be used/);
    expect(stderr).toMatch(/DIBS_LEASE_MS: '5' is not a whole number/);
    expect(stderr).toMatch(/DIBS_CONFIG: namespaces\.prices\.stale/);
    const json = await runDoctor(refused, '--json');
    expect({ code: json.code, ...JSON.parse(json.stdout) }).toMatchObject({ code: 2, healthy: false });
    expect(stderr + json.stdout + json.stderr).not.toMatch('secret');
  });
});
