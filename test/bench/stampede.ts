import { setTimeout as sleep } from 'node:timers/promises';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { Fleet } from '../support/fleet.js';
import { BareEcho } from './bare-echo.js';
import { type AnyRow, type Bench, measured, row } from './bench.js';
import { Memcached } from './memcached.js';
import { MetaRecipe, Recipe } from './recipes.js';

const CALLERS = 1_000;
const ROUNDS = 8;
const REPLICAS = 3;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 3_600_000;
const META = 'memcached meta, 100 ms of sleep';

/** One way through a stampede. The callers are spread over three clients, and none joins another. */
interface Way {
  readonly name: string;
  call(at: number, key: string, rebuild: () => Promise<Buffer>): Promise<unknown>;
}

/** How long 1,000 callers that miss the same key wait in addition to the rebuild, compared with the usual recipes. */
export const stampede: Bench = {
  name: 'stampede',
  async run() {
    const fleet = await Fleet.start({ replicas: REPLICAS });
    const targets = fleet.replicas.map(({ target }) => target);
    const sessions = targets.map((target) => new DibsClient({ target }));
    const unaries = targets.map((target) => new DibsClient({ target, session: false }));
    const recipes = targets.map(() => new Recipe(fleet));
    const bentos = targets.map(() => new Bento(fleet.store.url));
    const echo = await BareEcho.start();
    const memcached = await Memcached.start();
    const metas = memcached === undefined ? [] : targets.map(() => new MetaRecipe(memcached.port));
    const byMeta: Way[] =
      memcached === undefined
        ? []
        : [{ name: META, call: (at, key, rebuild) => of(metas, at).getOrRebuild(key, rebuild) }];
    try {
      const rows: AnyRow[] = [];
      for (const rebuildMs of [50, 250]) {
        const ways: Way[] = [
          { name: 'Dibs, sessions', call: byDibs(sessions) },
          { name: 'Dibs, unary', call: byDibs(unaries) },
          {
            name: 'Dibs, getOrRebuild',
            call: (at, key, rebuild) =>
              of(sessions, at).getOrRebuild(key, rebuild, { ttlMs, codec: bytes() }),
          },
          {
            name: 'Redlock in a loop, 100 ms of sleep',
            call: (at, key, rebuild) => of(recipes, at).getOrRebuild(key, rebuild),
          },
          {
            name: 'bentocache with Redis',
            call: (at, key, rebuild) =>
              of(bentos, at).cache.getOrSet({
                key,
                factory: async () => String(await rebuild()),
                ttl: ttlMs,
              }),
          },
          ...byMeta,
          { name: 'bare grpc-js fan-out', call: (_at, key) => echo.client.hold(rebuildMs, key) },
        ];
        const took = new Map<string, number[]>(ways.map(({ name }) => [name, []]));
        const rebuilds = new Map<string, number>();
        for (let round = -2; round < ROUNDS; round += 1) {
          for (const { name, call } of ways) {
            let calls = 0;
            const rebuild = async () => {
              calls += 1;
              await sleep(rebuildMs);
              return VALUE;
            };
            // Keys of memcached have no spaces.
            const key = `${name} ${rebuildMs} ${round}`.replaceAll(' ', '-');
            const tookMs = await Promise.all(
              Array.from({ length: CALLERS }, async (_, at) => {
                const startMs = performance.now();
                await call(at, key, rebuild);
                return performance.now() - startMs;
              }),
            );
            if (round < 0) continue;
            took.get(name)?.push(...tookMs);
            rebuilds.set(name, (rebuilds.get(name) ?? 0) + calls / ROUNDS);
          }
        }
        const title = (name: string) => `${name}, ${CALLERS} callers, a rebuild of ${rebuildMs} ms`;
        const measuredOf = (name: string) => measured(title(name), took.get(name) ?? []);
        const compare = (ours: string, theirs: string, ratioMax?: number) => {
          const facts = [ours, theirs].flatMap((name) => {
            const count = rebuilds.get(name) ?? 0;
            return count === 0 ? [] : [`${name}: ${count} rebuilds`];
          });
          return row(measuredOf(ours), measuredOf(theirs), { ratioMax, by: 'p99', lessMs: rebuildMs, facts });
        };
        rows.push(
          compare('Dibs, sessions', 'Redlock in a loop, 100 ms of sleep', 0.05),
          ...(memcached === undefined ? [] : [compare('Dibs, sessions', META)]),
          compare('Dibs, unary', 'bare grpc-js fan-out', 1.3),
          compare('Dibs, sessions', 'bare grpc-js fan-out'),
          compare('Dibs, getOrRebuild', 'bentocache with Redis'),
        );
      }
      return rows;
    } finally {
      for (const client of [...sessions, ...unaries, ...recipes, ...metas]) client.close();
      await Promise.all(bentos.map((bento) => bento.close()));
      echo.stop();
      await memcached?.stop();
      await fleet.stop();
    }
  },
};

/** Each caller asks for itself. With getOrRebuild, callers in one process would join. */
function byDibs(clients: readonly DibsClient[]): Way['call'] {
  return async (at, key, rebuild) => {
    const client = of(clients, at);
    const outcome = await client.getOrLock({ key });
    if (outcome.kind === 'lease') {
      await client.publish({ key, token: outcome.token, value: await rebuild(), ttlMs });
    } else if (outcome.kind !== 'hit') throw new Error(`expected a hit, got ${outcome.kind}`);
  };
}

function of<T>(all: readonly T[], at: number): T {
  return all[at % all.length] as T;
}

/** Set up as its documentation says for several processes: memory, Redis, and a bus between them. */
class Bento {
  readonly #connections: Redis[] = [];
  readonly cache;

  constructor(url: string) {
    const connection = () => {
      const redis = new Redis(url);
      this.#connections.push(redis);
      return redis;
    };
    const { host = '', port = 0 } = connection().options;
    const layered = bentostore()
      .useL1Layer(memoryDriver())
      .useL2Layer(redisDriver({ connection: connection() }))
      .useBus(redisBusDriver({ connection: { host, port } }));
    this.cache = new BentoCache({ default: 'layered', stores: { layered } });
  }

  async close(): Promise<void> {
    await this.cache.disconnectAll();
    for (const redis of this.#connections) redis.disconnect();
  }
}
