import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseStoreUrl } from '../../src/config/store-url.js';
import { StoreUnavailable } from '../../src/coordination/ports/value-store.js';
import { keyOf } from '../../src/coordination/words/key.js';
import { StoreConnection } from '../../src/redis/connection.js';
import { recordKey, WAKE_CHANNEL } from '../../src/redis/keys.js';
import { RedisValueStore } from '../../src/redis/value-store.js';
import { RedisWakeChannel } from '../../src/redis/wake-channel.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { MUCH_PATIENCE } from '../support/patience.js';
import type { RedisServer } from '../support/redis-server.js';
import { connectRedisStore } from '../support/redis-store.js';
import { type ReplicatedStore, startClusterStore } from '../support/replicated-store.js';
import { until } from '../support/until.js';
import { namespaceStoreContract } from './namespace-store.contract.js';
import { valueStoreContract } from './value-store.contract.js';

const asBoolean = [() => true, () => false] as const;

/** How the store is missing. */
function howOf(error: unknown): string {
  return error instanceof StoreUnavailable ? error.how : String(error);
}

// The whole contract of the store on a Redis Cluster, where the keys of a namespace are spread over all masters.

describeWithRedis('the value store on a Redis Cluster', () => {
  let cluster: ReplicatedStore & { readonly servers: readonly RedisServer[] };
  beforeAll(async () => {
    // Nothing here is about a master that is replaced. On a busy machine one may be silent for a second.
    cluster = await startClusterStore({ silentMs: MUCH_PATIENCE.silenceMs });
  });
  afterAll(() => cluster?.stop());

  const start = () => connectRedisStore(cluster.url);
  valueStoreContract(start);

  describe('with its namespaces', () => {
    namespaceStoreContract(start);
  });

  it('is not gone for a replica whose first calls come before it is connected to all masters', async () => {
    const rounds: string[][] = [];
    for (let round = 0; round < 5; round += 1) {
      const connection = new StoreConnection(parseStoreUrl(cluster.url), MUCH_PATIENCE);
      const store = new RedisValueStore(connection);
      await until(() => connection.ping().then(...asBoolean));
      // Several for each master.
      const ids = Array.from({ length: 30 }, (_, at) => keyOf('default', `first ${at}`).id);
      const read = () => Promise.all(ids.map((id) => store.read(id).then(() => 'read', howOf)));
      rounds.push(await read());
      await until(async () => (await read()).every((it) => it === 'read'));
      connection.close();
    }
    // On a busy machine, a connection may take too long, so that it fails.
    expect(rounds.filter((answers) => !answers.includes('gone'))).not.toEqual([]);
  });

  it('keeps keys and namespace on different masters', async () => {
    const masters = new Set<number>();
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
      masters.add((await cluster.masterOf(`dibs:{${keyOf('default', key).id}}`)).port);
    }
    expect(masters.size).toBe(3);
  });

  it('has a wake channel that is live only while all masters answer', async () => {
    const channel = new RedisWakeChannel(parseStoreUrl(cluster.url), MUCH_PATIENCE);
    await until(() => channel.live);
    // The subscription is at the first node of the URL, which does not get the messages of a stopped one.
    const masters = await Promise.all(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => cluster.masterOf(`dibs:{${keyOf('default', key).id}}`)),
    );
    const { pid } = masters.find(({ port }) => !cluster.url.includes(`//127.0.0.1:${port}`)) as RedisServer;
    process.kill(pid, 'SIGSTOP');
    try {
      await until(() => !channel.live);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await until(() => channel.live);
    channel.close();
  });

  it('reports that anything may have changed before it is live again, if wakes of a master were lost', async () => {
    const channel = new RedisWakeChannel(parseStoreUrl(cluster.url), MUCH_PATIENCE);
    const told: string[] = [];
    channel.listen({
      wake: ({ kind, id }) => told.push(`${kind} ${id}`),
      namespaceWake() {},
      resubscribed: () => told.push('resubscribed'),
      disconnected: () => told.push('disconnected'),
    });
    await until(() => channel.live);
    const subscribed = cluster.servers.find(({ port }) => cluster.url.includes(`//127.0.0.1:${port},`));
    const id = 'abcdef'
      .split('')
      .map((key) => keyOf('default', key).id)
      .values();
    let key = id.next().value as string;
    while ((await cluster.masterOf(recordKey(key))) === subscribed) key = id.next().value as string;
    const master = await cluster.masterOf(recordKey(key));
    const name = (await subscribed?.command('CLUSTER', 'MYID'))?.trim() as string;
    // The link between the two is broken: the master forwards nothing to the node with the subscription.
    told.length = 0;
    await master.command('CLUSTER', 'FORGET', name);
    await until(() => !channel.live);
    await master.command('PUBLISH', WAKE_CHANNEL, `invalidated:1:${key}`);
    const [busPort] =
      (await subscribed?.command('CONFIG', 'GET', 'cluster-port'))?.split('\n').slice(1) ?? [];
    await master.command('CLUSTER', 'MEET', '127.0.0.1', `${subscribed?.port}`, `${busPort}`);
    await until(() => channel.live);
    expect(told).not.toContain(`invalidated ${key}`);
    expect(told).toContain('resubscribed');
    channel.close();
  });

  it('reports it too if the link is made again before the next beat', async () => {
    const channel = new RedisWakeChannel(parseStoreUrl(cluster.url), MUCH_PATIENCE);
    let resubscribed = 0;
    channel.listen({
      wake() {},
      namespaceWake() {},
      resubscribed: () => {
        resubscribed += 1;
      },
      disconnected() {},
    });
    await until(() => channel.live);
    const subscribed = cluster.servers.find(({ port }) => cluster.url.includes(`//127.0.0.1:${port},`));
    const name = (await subscribed?.command('CLUSTER', 'MYID'))?.trim() as string;
    for (const server of cluster.servers.filter((one) => one !== subscribed)) {
      if (!(await server.command('ROLE')).startsWith('master')) continue;
      const asked = async () =>
        Number(/links:calls=(\d+)/.exec(await server.command('INFO', 'commandstats'))?.[1]);
      const earlier = await asked();
      await until(async () => (await asked()) > earlier);
      const before = resubscribed;
      // It is made again within a tenth of a second.
      await server.command('DEBUG', 'CLUSTERLINK', 'KILL', 'to', name);
      await until(() => resubscribed > before);
    }
    channel.close();
  });
});
