import { parseStoreUrl } from '../../src/config/store-url.js';
import { keyOf } from '../../src/coordination/words/key.js';
import { StoreConnection } from '../../src/redis/connection.js';
import { RedisNamespaceStore } from '../../src/redis/namespace-store.js';
import { RedisValueStore } from '../../src/redis/value-store.js';
import { RedisWakeChannel } from '../../src/redis/wake-channel.js';
import { SystemChance } from '../../src/system-chance.js';
import { MUCH_PATIENCE } from './patience.js';
import { RedisServer } from './redis-server.js';
import type { StoreUnderTest } from './store-trial.js';
import { until } from './until.js';

export type RedisStoreUnderTest = StoreUnderTest & { readonly namespaces: RedisNamespaceStore };

export interface RedisStoreOptions {
  readonly stampsMax?: number;
}

/** The value store and its wake channel on a new Redis, both connected. */
export async function startRedisStore(
  options: RedisStoreOptions = {},
): Promise<RedisStoreUnderTest & { readonly server: RedisServer }> {
  const server = await RedisServer.start();
  const under = await connectRedisStore(server.url, options);
  const close = async () => {
    await under.close();
    await server.stop();
  };
  return { ...under, server, close };
}

/** The same on an existing Redis. */
export async function connectRedisStore(
  url: string,
  { stampsMax }: RedisStoreOptions = {},
): Promise<RedisStoreUnderTest> {
  const address = parseStoreUrl(url);
  // These suites are about replies, which may be slow on a busy machine.
  const connection = new StoreConnection(address, MUCH_PATIENCE);
  const channel = new RedisWakeChannel(address, MUCH_PATIENCE);
  await until(() => channel.live);
  const store = new RedisValueStore(connection);
  // A cluster refuses what comes before its masters are connected to.
  const keysOnAll = connection.isCluster ? 50 : 1;
  const ids = Array.from({ length: keysOnAll }, (_, at) => keyOf('default', `${at}`).id);
  await until(() =>
    Promise.all(ids.map((id) => store.read(id))).then(
      () => true,
      () => false,
    ),
  );
  return {
    store,
    namespaces: new RedisNamespaceStore(connection, new SystemChance(), stampsMax),
    channel,
    keysOnAll,
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    close: async () => {
      connection.close();
      channel.close();
    },
  };
}
