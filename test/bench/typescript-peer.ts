import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { DibsClient } from '../../clients/typescript/src/client.js';

// The TypeScript client and bentocache, for the bench `clients`. Each line on standard input is a command, and each
// line on standard output its result, as in `go-peers`.

/** One line. Times are in milliseconds. */
interface Command {
  readonly do: 'hits' | 'stampede' | 'hold' | 'take';
  readonly way: string;
  readonly key: string;
  readonly calls: number;
  readonly inFlight: number;
  readonly rebuildMs: number;
}

/** One way to get a value: from the cache, or by a rebuild. */
type Way = (key: string, rebuild: () => Promise<string>) => Promise<string | null>;

/** The cached value: a text of 100 bytes. */
const VALUE = 'x'.repeat(100);
const ttlMs = 3_600_000;
const WARM_UP_CALLS = 1_000;

const [targets = '', store = ''] = process.argv.slice(2);
const target = `ipv4:${targets}`;
const WAYS: Readonly<Record<string, Way>> = {
  near: byDibs(new DibsClient({ target, nearCache: { maxBytes: 10_000_000 } })),
  session: byDibs(new DibsClient({ target })),
  bento: byBento(true),
  redis: byBento(false),
};

function byDibs(client: DibsClient): Way {
  return (key, rebuild) => client.getOrRebuild(key, rebuild, { ttlMs });
}

/** Set up as its documentation says. */
function byBento(hasMemory: boolean): Way {
  const [host, port] = store.split(':');
  const connection = { host, port: Number(port) };
  const redis = redisDriver({ connection });
  const tiers = hasMemory
    ? bentostore()
        .useL1Layer(memoryDriver({ maxSize: 10_000_000 }))
        .useL2Layer(redis)
        .useBus(redisBusDriver({ connection }))
    : bentostore().useL2Layer(redis);
  const cache = new BentoCache({
    default: 'tiers',
    prefix: hasMemory ? 'tiers' : 'redis',
    stores: { tiers },
  });
  return (key, rebuild) => cache.getOrSet({ key, factory: rebuild, ttl: ttlMs });
}

/** The wall time and this process's CPU time of a hit, in nanoseconds. */
async function hits(way: Way, { key, calls, inFlight }: Command) {
  const once = async () => {
    const got = await way(key, async () => VALUE);
    if (got !== VALUE) throw new Error(`another value: ${got}`);
  };
  for (let call = 0; call < WARM_UP_CALLS; call += 1) await once();
  let left = calls;
  const began = performance.now();
  const used = process.cpuUsage();
  const caller = async () => {
    while (left-- > 0) await once();
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  const { user, system } = process.cpuUsage(used);
  return { wallNs: ((performance.now() - began) * 1e6) / calls, cpuNs: ((user + system) * 1e3) / calls };
}

/** Many callers request one key at once. */
async function stampede(way: Way, { key, calls, rebuildMs }: Command) {
  let rebuilds = 0;
  const rebuild = async () => {
    rebuilds += 1;
    await sleep(rebuildMs);
    return VALUE;
  };
  const one = async () => {
    const startMs = performance.now();
    await way(key, rebuild);
    return performance.now() - startMs;
  };
  return { tookMs: await Promise.all(Array.from({ length: calls }, one)), rebuilds };
}

/** Holds the lease until this process is killed. */
function hold(way: Way, { key }: Command): Promise<object> {
  return new Promise((resolve) => {
    void way(key, () => {
      resolve({ holds: true });
      return new Promise<string>(() => {});
    });
  });
}

async function answer(command: Command): Promise<object> {
  const way = WAYS[command.way];
  if (way === undefined) throw new Error(`no such way: ${command.way}`);
  if (command.do === 'hits') return hits(way, command);
  return command.do === 'hold' ? hold(way, command) : stampede(way, command);
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line) as Command)));
}
process.exit();
