import { afterEach, expect, it } from 'vitest';
import { Degraded } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { Caller } from '../../support/caller.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';

// Lock nodes that answer but do not vote.

const PATIENCE = { timeout: 30_000, interval: 200 };

/** Returns a function that asks for another key each time, and returns its outcome. */
function askingBy(caller: Caller): () => Promise<string> {
  let keys = 0;
  return async () => {
    keys += 1;
    const { outcome, degraded } = await caller.getOrLock({ key: `k${keys}`, leaseMs: 500 });
    return `${outcome?.$case} ${Degraded[degraded]}`;
  };
}

describeWithRedis('lock nodes that do not vote', () => {
  const servers: RedisServer[] = [];
  let replica: Replica | undefined;
  afterEach(async () => {
    await replica?.kill();
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  async function redis(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start({ args });
    servers.push(server);
    return server;
  }

  async function start(urls: readonly string[]): Promise<Replica> {
    replica = await Replica.start({
      DIBS_QUORUM_NODES: urls.join(','),
      DIBS_STORE_URL: (await redis()).url,
      DIBS_LEASE_MAX_MS: '1000',
      DIBS_LOG_LEVEL: 'info',
    });
    return replica;
  }

  const metricsOf = async (of: Replica) => (await fetch(`${of.httpUrl}/metrics`)).text();
  /** Returns the node's states in the log, in order. */
  function saidOf(of: Replica, port: number): string[] {
    const lines = of.log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines
      .map((line) => JSON.parse(line))
      .filter(({ node }) => node?.endsWith(`:${port}`))
      .map(({ to, why }) => `${to}: ${why}`);
  }

  it('a lock node with a wrong password, and one that is a read-only replica', async () => {
    const [locked, good] = [await redis('--requirepass', 'right'), await redis()];
    const following = await redis('--replicaof', '127.0.0.1', String(good.port));
    const one = await start([`redis://:wrong@127.0.0.1:${locked.port}`, following.url, good.url]);
    await expect
      .poll(() => saidOf(one, locked.port).join('\n'), PATIENCE)
      .toMatch(/connecting: wrong user or password/);
    await expect
      .poll(() => saidOf(one, following.port).join('\n'), PATIENCE)
      .toMatch(/refusing: Redis is a read-only replica/);
    const caller = new Caller(one.target);
    await expect
      .poll(async () => Degraded[(await caller.getOrLock({ key: 'k' })).degraded], PATIENCE)
      .toBe('DEGRADED_QUORUM_LOST');
    caller.close();
    const step = () => one.log.split('\n').find((line) => line.includes(LOG.degraded)) ?? '';
    await expect.poll(step, PATIENCE).toMatch(/lock nodes: .*wrong user or password.*/);
    expect(step()).toMatch(/read-only replica/);
    expect(await metricsOf(one)).toMatch('dibs_quorum_nodes{state="refusing"} 1\n');
  });

  it('a lock node that is full', async () => {
    const nodes = [await redis(), await redis(), await redis()];
    const [full] = nodes;
    const one = await start(nodes.map(({ url }) => url));
    const caller = new Caller(one.target);
    const ask = askingBy(caller);
    await expect.poll(ask, PATIENCE).toBe('lease DEGRADED_NONE');
    await full?.command('CONFIG', 'SET', 'maxmemory', '1');
    const metrics = async () => {
      expect(await ask()).toBe('lease DEGRADED_NONE');
      return metricsOf(one);
    };
    await expect.poll(metrics, PATIENCE).toMatch('dibs_quorum_nodes{state="refusing"} 1\n');
    await expect
      .poll(() => saidOf(one, full?.port ?? 0).at(-1), PATIENCE)
      .toMatch(/refusing: Redis is full; raise its maxmemory/);
    await full?.command('CONFIG', 'SET', 'maxmemory', '0');
    await expect.poll(metrics, PATIENCE).toMatch('dibs_quorum_nodes{state="voting"} 3\n');
    caller.close();
  });

  it('two lock nodes are one Redis under two names', async () => {
    const [one, other] = [await redis(), await redis()];
    const urls = [one.url, `redis://localhost:${one.port}`, other.url];
    const started = await start(urls);
    const caller = new Caller(started.target);
    const ask = askingBy(caller);
    await expect.poll(ask, PATIENCE).toBe('lease DEGRADED_NONE');
    await expect
      .poll(() => saidOf(started, one.port).join('\n'), PATIENCE)
      .toMatch(
        /duplicate: it is the same Redis as (?:localhost|127\.0\.0\.1):\d+; each lock node must be a different Redis/,
      );
    expect(await metricsOf(started)).toMatch('dibs_quorum_nodes{state="duplicate"} 1\n');
    caller.close();
  });
});
