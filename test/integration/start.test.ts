import { afterEach, expect, it } from 'vitest';
import { Degraded } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { Caller } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { freePort, RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';

// How a replica starts on a faulty fleet: it reports the faults, and it serves.

/** First contact may take 10 s, and a process needs some time to start, on a busy machine too. */
const START_MS_MAX = 60_000;

describeWithRedis('a start in the quorum mode', () => {
  const servers: RedisServer[] = [];
  const replicas: Replica[] = [];
  afterEach(async () => {
    await Promise.all(replicas.splice(0).map((replica) => replica.kill()));
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  async function redis(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start({ args });
    servers.push(server);
    return server;
  }

  function envWith(nodes: RedisServer[], storeUrl: string, more = {}): Record<string, string> {
    return {
      DIBS_QUORUM_NODES: nodes.map(({ url }) => url).join(','),
      DIBS_STORE_URL: storeUrl,
      DIBS_LOG_LEVEL: 'info',
      ...more,
    };
  }

  it('warns about a lock node that may evict, by name, and works with the others', async () => {
    const nodes = [await redis(), await redis(), await redis('--maxmemory-policy', 'allkeys-lru')];
    const replica = await Replica.start(envWith(nodes, (await redis()).url, { DIBS_LEASE_MAX_MS: '1000' }));
    replicas.push(replica);
    expect(replica.mode).toBe('quorum');
    await expect
      .poll(() => replica.log)
      .toMatch(`"node":"127.0.0.1:${nodes[2]?.port}","from":"connecting","to":"evicting"`);
    await expect.poll(() => replica.log).toMatch('must be noeviction');
    const caller = new Caller(replica.target);
    // Not every node is fit for a first start, so the fit ones wait for the longest lease.
    const leaseBy = async (key: string) => {
      const { outcome, degraded } = await caller.getOrLock({ key });
      return `${outcome?.$case} ${Degraded[degraded]}`;
    };
    let keys = 0;
    await expect
      .poll(() => leaseBy(`k${keys++}`), { timeout: START_MS_MAX, interval: 200 })
      .toBe('lease DEGRADED_NONE');
    caller.close();
    const page = await (await fetch(`${replica.httpUrl}/metrics`)).text();
    expect(page).toMatch('dibs_quorum_nodes{state="evicting"} 1\n');
    expect(page).toMatch('dibs_quorum_nodes{state="voting"} 2\n');
  });

  it('is not complete until the lock nodes or the store are reached, and then stays complete', async () => {
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const storePort = await freePort();
    const replica = await Replica.start({
      DIBS_QUORUM_NODES: ports.map((port) => `redis://127.0.0.1:${port}`).join(','),
      DIBS_STORE_URL: `redis://127.0.0.1:${storePort}`,
    });
    replicas.push(replica);
    const page = async (path: string) => (await fetch(`${replica.httpUrl}${path}`)).status;
    const mode = async () => {
      const text = await (await fetch(`${replica.httpUrl}/metrics`)).text();
      return /^dibs_degraded\{mode="(\w+)"\} 1$/m.exec(text)?.[1];
    };
    // It serves what it can. No caller has needed a decision yet.
    expect(await page('/readyz')).toBe(200);
    expect(await page('/startupz')).toBe(503);
    expect(await mode()).toBe('unknown');
    const store = await RedisServer.start({ port: storePort });
    servers.push(store);
    await expect.poll(() => page('/startupz'), { timeout: START_MS_MAX }).toBe(200);
    const caller = new Caller(replica.target);
    expect((await caller.getOrLock({ key: 'k' })).degraded).not.toBe(Degraded.DEGRADED_NONE);
    caller.close();
    expect(await mode()).toBe('quorum_lost');
    await store.kill();
    await expect.poll(() => page('/startupz')).toBe(200);
  });

  it('waits for its first contact, alive but not ready, and then serves without it', async () => {
    const nodes = [await redis(), await redis(), await redis()];
    const httpPort = await freePort();
    const page = (path: string) =>
      fetch(`http://127.0.0.1:${httpPort}${path}`).then(
        ({ status }) => status,
        () => 'refused',
      );
    let serves = false;
    const nowhere = `redis://127.0.0.1:${await freePort()}`;
    const started = Replica.start({
      ...envWith(nodes, nowhere),
      DIBS_HTTP_LISTEN: `127.0.0.1:${httpPort}`,
    });
    const seen = started.then((replica) => {
      serves = true;
      replicas.push(replica);
      return replica;
    });
    await expect.poll(() => page('/healthz'), { timeout: START_MS_MAX }).toBe(200);
    expect(await page('/readyz')).toBe(503);
    expect(serves).toBe(false);
    await expect.poll(() => page('/readyz'), { timeout: START_MS_MAX }).toBe(200);
    const replica = await seen;
    await expect.poll(() => replica.log).toMatch(LOG.storeSilent);
    const caller = new Caller(replica.target);
    const { outcome, degraded } = await caller.getOrLock({ key: 'k' });
    expect(outcome?.$case).toBe('lease');
    // The lock nodes were reached.
    expect(await page('/startupz')).toBe(200);
    // Without the store nothing proves that this is a first start, so the lock nodes wait too.
    expect(degraded).toBe(Degraded.DEGRADED_LOCAL);
    caller.close();
    replica.signal('SIGTERM');
    expect((await replica.ended).code).toBe(0);
  });
});
