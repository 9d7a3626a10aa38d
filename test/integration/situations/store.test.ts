import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import { Degraded } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { encodeToken } from '../../../src/grpc/token.js';
import { recordKey } from '../../../src/redis/keys.js';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { Caller } from '../../support/caller.js';
import { type CertificateOptions, TestAuthority } from '../../support/certificates.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { examined, troublesOf } from '../../support/doctor.js';
import { linesOf } from '../../support/log-lines.js';
import { freePort, RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';
import { until } from '../../support/until.js';

// Reasons why the value store does not serve. First contact may take 10 s, so the replicas start a few at a time.

const STARTS_AT_ONCE = 4;
const EVERY_200_MS = { interval: 200 };
const BEFORE_MS_MAX = 600_000;

interface Situation {
  readonly title: string;
  readonly line: string;
  readonly why: RegExp;
  /** What `dibs doctor` reports, if it differs. */
  readonly examination?: RegExp;
  url(): Promise<string>;
  /** In addition to the variables of every replica. */
  env?(): Record<string, string>;
}

describeWithRedis('a value store that does not serve', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-store-'));
  const authority = new TestAuthority();
  const servers: RedisServer[] = [];
  let web: Server;
  const replicas = new Map<string, Replica>();
  /** What `dibs doctor` reports in each situation. */
  const diagnoses = new Map<string, string[]>();
  let env: Record<string, string>;

  async function redis(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start({ args });
    servers.push(server);
    return server;
  }

  const situations: Situation[] = [
    {
      title: 'the store has no such host',
      line: LOG.storeUnreachable,
      why: /no such host; check the name in the URL/,
      url: async () => 'redis://store.invalid:6379',
    },
    {
      title: 'nothing listens at the port of the store',
      line: LOG.storeUnreachable,
      why: /connection refused; is Redis running/,
      url: async () => `redis://127.0.0.1:${await freePort()}`,
    },
    {
      title: 'the password of the store is wrong',
      line: LOG.storeUnreachable,
      why: /wrong user or password/,
      url: async () => `redis://:wrong@127.0.0.1:${(await redis('--requirepass', 'right')).port}`,
    },
    {
      title: 'the store needs a password',
      line: LOG.storeUnreachable,
      why: /a password is needed/,
      url: async () => (await redis('--requirepass', 'right')).url,
    },
    {
      title: 'TLS to a plain port of the store',
      line: LOG.storeUnreachable,
      why: /does this port speak TLS/,
      url: async () => `rediss://127.0.0.1:${(await redis()).port}`,
    },
    {
      title: 'no TLS to a TLS port of the store',
      line: LOG.storeUnreachable,
      why: /does (?:this|the) port need TLS \(rediss:\/\/\)/,
      url: async () => `redis://127.0.0.1:${await tlsPort()}`,
    },
    {
      title: 'the certificate of the store is from an unknown authority',
      line: LOG.storeUnreachable,
      why: /signed by an unknown authority; set DIBS_REDIS_CA/,
      url: async () => `rediss://localhost:${await tlsPort()}`,
    },
    {
      title: 'the certificate of the store is for another name',
      line: LOG.storeUnreachable,
      why: /for another name; use a name that it contains/,
      url: async () => `rediss://localhost:${await tlsPort({ names: 'DNS:elsewhere' })}`,
      env: () => ({ DIBS_REDIS_CA: authority.ca }),
    },
    {
      title: 'the certificate of the store has expired',
      line: LOG.storeUnreachable,
      why: /has expired; renew it/,
      url: async () => `rediss://localhost:${await tlsPort({ days: -1 })}`,
      env: () => ({ DIBS_REDIS_CA: authority.ca }),
    },
    {
      title: 'no sentinel of the store answers',
      line: LOG.storeUnreachable,
      why: /no sentinel answers with a master|connection refused/,
      url: async () => `redis+sentinel://127.0.0.1:${await freePort()}/values`,
    },
    {
      title: 'the store is not a cluster, behind redis+cluster://',
      line: LOG.storeUnreachable,
      why: /cluster support disabled/,
      url: async () => (await redis()).url.replace('redis://', 'redis+cluster://'),
    },
    {
      title: 'the store was full before the start',
      line: LOG.storeRefuses,
      why: /full; raise its maxmemory/,
      url: async () => (await redis('--maxmemory', '1')).url,
    },
    {
      title: 'the store has too few replicas of its own',
      line: LOG.storeRefuses,
      why: /fewer replicas than its min-replicas-to-write/,
      url: async () => (await redis('--min-replicas-to-write', '1')).url,
    },
    {
      title: 'the store has no connection left',
      line: LOG.storeUnreachable,
      why: /maxclients/,
      url: async () => {
        const server = await redis('--maxclients', '1');
        const { Redis } = await import('ioredis');
        const only = new Redis(server.url);
        await only.ping();
        closing.push(() => only.disconnect());
        return server.url;
      },
    },
    {
      title: 'the store is another kind of server',
      line: LOG.storeUnreachable,
      why: /Protocol error|not Redis|connection was closed/,
      url: async () => `redis://127.0.0.1:${(web.address() as AddressInfo).port}`,
    },
    {
      title: 'the store has no database of this number',
      line: LOG.storeUnreachable,
      why: /SELECT failed: Redis has no database of this number/,
      url: async () => `${(await redis('--databases', '2')).url}/5`,
    },
    {
      title: 'the store refuses SELECT',
      line: LOG.storeUnreachable,
      why: /SELECT failed: the Redis user lacks rights/,
      url: async () => `${await withUser('+@all -select')}/1`,
    },
    {
      title: 'the store is a read-only replica',
      line: LOG.storeRefuses,
      why: /read-only replica; use the address of its master/,
      url: async () => (await redis('--replicaof', '127.0.0.1', String((await redis()).port))).url,
    },
    {
      title: 'the rights at the store are too few',
      line: LOG.storeRefuses,
      why: /the Redis user lacks rights; see deploy\/operations\/redis-acl.md/,
      examination: /rights: the user may not use evalsha, eval; see deploy\/operations\/redis-acl.md/,
      url: () => withUser('+@all -evalsha -eval'),
    },
    {
      title: 'a command of the store is renamed',
      line: LOG.storeRefuses,
      why: /Redis does not know a command; is the command renamed/,
      examination: /commands: Redis does not know evalsha; is it renamed/,
      url: async () => (await redis('--rename-command', 'EVALSHA', '')).url,
    },
    {
      title: 'the store is a cluster, behind redis://',
      line: LOG.storeRefuses,
      why: /use redis\+cluster:\/\//,
      url: async () => {
        const server = await redis('--cluster-enabled', 'yes');
        await server.command('CLUSTER', 'ADDSLOTSRANGE', '0', '0');
        const other = await redis('--cluster-enabled', 'yes');
        await other.command('CLUSTER', 'ADDSLOTSRANGE', '1', '16383');
        await server.command('CLUSTER', 'MEET', '127.0.0.1', String(other.port));
        await until(
          async () => (await server.command('CLUSTER', 'INFO')).includes('cluster_state:ok'),
          20_000,
        );
        return server.url;
      },
    },
  ];
  const closing: (() => void)[] = [];

  async function tlsPort(options: CertificateOptions = {}): Promise<number> {
    const port = await freePort();
    const { cert, key } = authority.issue({ names: 'DNS:localhost', ...options });
    const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.ca];
    await redis('--tls-port', String(port), '--tls-auth-clients', 'no', ...files);
    return port;
  }

  async function withUser(rules: string): Promise<string> {
    const file = join(folder, `${servers.length}.acl`);
    writeFileSync(file, `user dibs on >pw ~* &* ${rules}\nuser default on nopass ~* &* +@all\n`);
    return `redis://dibs:pw@127.0.0.1:${(await redis('--aclfile', file)).port}`;
  }

  beforeAll(async () => {
    web = createServer((_request, response) => response.end('no Redis'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    const nodes = await Promise.all([redis(), redis(), redis()]);
    env = {
      DIBS_QUORUM_NODES: nodes.map(({ url }) => url).join(','),
      DIBS_LEASE_MAX_MS: '2000',
      DIBS_LOG_LEVEL: 'info',
    };
    const left = [...situations];
    const worker = async () => {
      for (let one = left.shift(); one !== undefined; one = left.shift()) {
        const its = { ...env, ...one.env?.(), DIBS_STORE_URL: await one.url() };
        replicas.set(one.title, await Replica.start(its));
        diagnoses.set(one.title, troublesOf(await examined(its)));
      }
    };
    await Promise.all(Array.from({ length: STARTS_AT_ONCE }, worker));
  }, BEFORE_MS_MAX);

  afterAll(async () => {
    for (const close of closing) close();
    await Promise.all([...replicas.values()].map((replica) => replica.kill()));
    await Promise.all(servers.map((server) => server.stop()));
    web?.close();
    authority.close();
    rmSync(folder, { recursive: true });
  }, BEFORE_MS_MAX);

  it.each(situations)('$title', async ({ title, line, why, examination }) => {
    const replica = replicas.get(title);
    if (replica === undefined) throw new Error('it did not start');
    const caller = new Caller(replica.target);
    let asked = 0;
    // On a busy machine, the lock nodes may be late for a while too.
    const answered = async () => {
      asked += 1;
      const { outcome, degraded } = await caller.getOrLock({ key: `${title} ${asked}`, leaseMs: 1_000 });
      return `${outcome?.$case} ${Degraded[degraded]}`;
    };
    await expect.poll(answered, EVERY_200_MS).toBe('lease DEGRADED_STORE_LOST');
    caller.close();
    // A line may appear after the answer.
    const said = () => linesOf(replica).map((one) => `${one.msg}: ${one.why}`);
    await expect
      .poll(said, EVERY_200_MS)
      .toContainEqual(expect.stringMatching(new RegExp(`^${line}: .*${why.source}`)));
    await expect
      .poll(said, EVERY_200_MS)
      .toContainEqual(expect.stringMatching(new RegExp(`^${LOG.degraded}: .*value store: .*${why.source}`)));
    const metrics = await (await fetch(`${replica.httpUrl}/metrics`)).text();
    expect(metrics).toMatch('dibs_degraded{mode="store_lost"} 1\n');
    expect(diagnoses.get(title)).toContainEqual(
      expect.stringMatching(new RegExp(`^fault of value store: .*(?:${(examination ?? why).source})`)),
    );
  });

  /** Waits for a lease of the key, or of new ones, that nothing degrades. Lock nodes may be late on a busy machine. */
  async function untilServed(caller: Caller, key?: string): Promise<void> {
    let asked = 0;
    const degraded = async () => {
      asked += 1;
      return (await caller.getOrLock({ key: key ?? `another ${asked}`, waitMs: 0 })).degraded;
    };
    await expect.poll(degraded, EVERY_200_MS).toBe(Degraded.DEGRADED_NONE);
  }

  it('a key of the store has another type', async () => {
    const store = await redis();
    const replica = await Replica.start({ ...env, DIBS_STORE_URL: store.url });
    replicas.set('foreign', replica);
    const caller = new Caller(replica.target);
    const name = `dibs:{${keyOf('default', 'foreign').id}}`;
    await store.command('SET', name, 'not a hash');
    await expect(caller.getOrLock({ key: 'foreign' })).rejects.toThrow(/FAILED_PRECONDITION.*WRONGTYPE/);
    const said = () => linesOf(replica).map(({ msg }) => msg);
    await expect.poll(said, EVERY_200_MS).toContain(LOG.storeForeignKey);
    await untilServed(caller);
    await store.command('DEL', name);
    await untilServed(caller, 'foreign');
    caller.close();
  });

  it.each([
    {
      title: 'a key of the store gets another type while its lease runs',
      write: async (store: RedisServer, name: string) => {
        await store.command('DEL', name);
        await store.command('SET', name, 'not a hash');
      },
      why: /WRONGTYPE/,
    },
    {
      title: 'a record of the store is changed by another program while its lease runs',
      write: (store: RedisServer, name: string) => store.command('HSET', name, 'armed_at', 'x', 'past', 'x'),
      why: /FAILED_PRECONDITION.*other data under the name of this key/,
    },
  ])('$title', async ({ title, write, why }) => {
    const store = await redis();
    const replica = await Replica.start({ ...env, DIBS_STORE_URL: store.url });
    replicas.set(title, replica);
    const caller = new Caller(replica.target);
    const key = keyOf('default', 'foreign');
    // Longer than the two commands take on a busy machine.
    const { token } = await caller.lease({ key: 'foreign', leaseMs: 2_000 });
    await write(store, recordKey(key.id));
    // The replica asks for the record at the end of the lease, and gives back a lease that the store does not know.
    const said = () => linesOf(replica).map(({ msg }) => msg);
    await expect.poll(said, EVERY_200_MS).toContain(LOG.storeForeignKey);
    const unstored = { kind: 'quorum', nonce: 'n'.repeat(22), fence: 0, leaseMs: 1_000 } as const;
    await caller.publishText('foreign', encodeToken(key, unstored), 'a value');
    await expect(caller.publishText('foreign', token, 'a value')).rejects.toThrow(why);
    await untilServed(caller);
    caller.close();
  });
});
