import { StoreConnection } from '../../src/redis/connection.js';
import { RedisNamespaceStore } from '../../src/redis/namespace-store.js';
import { RedisValueStore } from '../../src/redis/value-store.js';
import { RedisWakeChannel } from '../../src/redis/wake-channel.js';
import { SystemChance } from '../../src/system-chance.js';
import { RedisServer } from './redis-server.js';
import type { StoreUnderTest } from './store-trial.js';
import { until } from './until.js';

/** The value store and its wake channel on a Redis of their own, both connected. */
export async function startRedisStore(): Promise<
  StoreUnderTest & { readonly server: RedisServer; readonly namespaces: RedisNamespaceStore }
> {
  const server = await RedisServer.start();
  // These suites are about replies: on a busy machine they may take longer than a caller would wait.
  const connection = new StoreConnection(server.url, { timeoutMs: 10_000 });
  const channel = new RedisWakeChannel(server.url);
  await until(() => channel.live);
  await until(() =>
    connection.ping().then(
      () => true,
      () => false,
    ),
  );
  return {
    server,
    store: new RedisValueStore(connection),
    namespaces: new RedisNamespaceStore(connection, new SystemChance()),
    channel,
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    close: async () => {
      connection.close();
      channel.close();
      await server.stop();
    },
  };
}
