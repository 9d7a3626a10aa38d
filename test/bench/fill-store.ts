import { pathToFileURL } from 'node:url';

/** Longer than any bench takes. */
const TTL_MS = 86_400_000;

export const keyOf = (at: number) => `key ${at}`;

/** Writes `count` values as publishes do, without the quorum, which a hit does not use. */
export async function fillStore(storeUrl: string, count: number, value: Uint8Array): Promise<void> {
  const built = (path: string) => import(pathToFileURL(`dist/${path}`).href);
  const { parseStoreUrl } = await built('config/store-url.js');
  const { StoreConnection } = await built('redis/connection.js');
  const { RedisValueStore } = await built('redis/value-store.js');
  const { RedisNamespaceStore } = await built('redis/namespace-store.js');
  const { encodeTagClock } = await built('coordination/words/tag-clock.js');
  const { SystemChance } = await built('system-chance.js');
  const { SystemClock } = await built('system-clock.js');
  const { keyOf: idOf } = await built('coordination/words/key.js');
  const connection = new StoreConnection(parseStoreUrl(storeUrl), {
    clock: new SystemClock(),
    silenceMs: 60_000,
  });
  const store = new RedisValueStore(connection);
  let next = 0;
  let clock = '';
  const one = async () => {
    while (next < count) {
      const { id } = idOf('default', keyOf(next));
      const nonce = `${next}`.padStart(22, '0');
      next += 1;
      await store.arm(id, {
        ...{
          nonce,
          expiresInMs: 10_000,
          leaseMs: 10_000,
          fenceRead: 0,
          valueFenceRead: 0,
          quorumLost: false,
          group: 'g',
        },
        ...{ holder: '', traceparent: '', reason: 'miss', requestKey: '', clock, keepMs: 60_000 },
      });
      const payload = { kind: 'value', bytes: value };
      const { outcome } = await store.publish(id, {
        nonce,
        payload,
        ttlMs: TTL_MS,
        staleMs: 0,
        tags: [],
        keepMs: 60_000,
        fence: 0,
      });
      if (outcome !== 'stored') throw new Error(`a value is not stored: ${outcome}`);
    }
  };
  for (;;) {
    try {
      await connection.ping();
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  // A value counts only with the clock of its namespace.
  clock = encodeTagClock(
    await new RedisNamespaceStore(connection, new SystemChance()).begin('default', TTL_MS),
  );
  await Promise.all(Array.from({ length: 500 }, one));
  connection.close();
}
