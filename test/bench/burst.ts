import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { Fleet } from '../support/fleet.js';
import { percentile } from '../support/percentile.js';
import { Replica } from '../support/replica.js';
import { AS_SHIPPED, type Bench, type BoundRow } from './bench.js';
import { cpuSince, type FleetCpu, fleetCpu } from './fleet-cpu.js';

const CALLERS = 999;
/** New keys, or keys whose value has just expired. */
const CASES = [
  { keys: 1, expired: false },
  { keys: 100, expired: false },
  { keys: 100, expired: true },
];
/** How long values are fresh. All are stored, and read by each replica, before the first expires. */
const FRESH_MS = 1_500;
const CLIENTS = 3;
const REBUILD_MS = 50;
const ROUNDS = 16;
/** Code is slow until it has been compiled. */
const WARM_UP_ROUNDS = 12;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 3_600_000;
/** Long, because no lease is extended here. */
const leaseMs = 30_000;
/** `dist/main.js` of another version, to measure in the same run. */
const BESIDE = process.env.DIBS_BENCH_BESIDE;

interface Way {
  readonly name: string;
  readonly clients: readonly DibsClient[];
  readonly pids: readonly number[];
}

/** The times of one burst, in milliseconds from its beginning unless noted, and its cost. */
interface Burst {
  readonly answeredMs: readonly number[];
  readonly leasedMs: readonly number[];
  /** From the publish to its answer. */
  readonly publishedMs: readonly number[];
  /** From a key's publish to the answer of each of its waiters. */
  readonly wokenMs: readonly number[];
  readonly cost: Cost;
}

interface Cost extends FleetCpu {
  /** Script calls at the store. */
  readonly storeCalls: number;
}

/**
 * 999 callers miss one key or a hundred at the same moment. Shows the time of each hop, and the cost for each process. The
 * floor is a replica without Redis: what the callers, gRPC and the domain cost alone.
 */
export const burst: Bench = {
  name: 'burst',
  async run(): Promise<BoundRow[]> {
    const fleet = await Fleet.start({ replicas: 0 });
    const embedded = await Replica.start(AS_SHIPPED);
    const ways = [await wayOf(fleet, 'Dibs'), wayTo('Dibs in the memory of one replica', [embedded])];
    if (BESIDE !== undefined) ways.push(await wayOf(fleet, 'Dibs, the other version', BESIDE));
    try {
      const rows: BoundRow[] = [];
      for (const { keys, expired } of CASES) {
        const all = new Map<Way, Burst[]>(ways.map((way) => [way, []]));
        for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
          // In turns, so that other load on the machine affects all of them.
          for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
            const keyOf = (at: number) => `${way.name} ${keys} ${expired} ${round} ${at % keys}`;
            if (expired) await expire(way, keys, keyOf);
            const one = await run(fleet, way, keyOf);
            if (round >= 0) all.get(way)?.push(one);
          }
        }
        for (const way of ways)
          rows.push(rowOf(way, all.get(way) ?? [], `${keys}${expired ? ' expired' : ''} keys`));
      }
      return rows;
    } finally {
      for (const client of ways.flatMap(({ clients }) => clients)) client.close();
      await embedded.kill();
      await fleet.stop();
    }
  },
};

async function wayOf(fleet: Fleet, name: string, main?: string): Promise<Way> {
  const replicas = Array.from({ length: CLIENTS }, () => fleet.addReplica(AS_SHIPPED, main));
  return wayTo(name, await Promise.all(replicas));
}

/** Each client has one replica, or all have the same. */
function wayTo(name: string, replicas: readonly Replica[]): Way {
  const targetOf = (at: number) => (replicas[at % replicas.length] as Replica).target;
  return {
    name,
    clients: Array.from({ length: CLIENTS }, (_, at) => new DibsClient({ target: targetOf(at) })),
    pids: replicas.map(({ pid }) => pid),
  };
}

/** Gives each key a value that every replica has read. It has expired when this resolves. */
async function expire({ clients }: Way, keys: number, keyOf: (at: number) => string): Promise<void> {
  const [first] = clients as [DibsClient];
  const all = Array.from({ length: keys }, (_, at) => keyOf(at));
  await Promise.all(
    all.map(async (key) => {
      const outcome = await first.getOrLock({ key, leaseMs });
      if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
      await first.publish({ key, token: outcome.token, value: VALUE, ttlMs: FRESH_MS });
    }),
  );
  const startMs = performance.now();
  await Promise.all(clients.flatMap((client) => all.map((key) => client.getOrLock({ key }))));
  await sleep(Math.max(0, FRESH_MS - (performance.now() - startMs)) + 20);
}

async function run(fleet: Fleet, way: Way, keyOf: (at: number) => string): Promise<Burst> {
  const leasedMs: number[] = [];
  const publishedMs: number[] = [];
  const answered: { key: string; atMs: number }[] = [];
  const publishedAt = new Map<string, number>();
  const callsBefore = await storeCallsOf(fleet);
  const before = fleetCpu(fleet, way.pids);
  const startMs = performance.now();
  const one = async (at: number) => {
    const key = keyOf(at);
    const client = way.clients[at % CLIENTS] as DibsClient;
    const outcome = await client.getOrLock({ key, leaseMs });
    if (outcome.kind === 'hit') {
      answered.push({ key, atMs: performance.now() });
      return;
    }
    if (outcome.kind !== 'lease') throw new Error(`expected a hit, got ${outcome.kind}`);
    leasedMs.push(performance.now() - startMs);
    if (publishedAt.has(key)) throw new Error(`${key} was rebuilt twice`);
    await sleep(REBUILD_MS);
    const sentMs = performance.now();
    publishedAt.set(key, sentMs);
    await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
    publishedMs.push(performance.now() - sentMs);
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, at) => one(at)));
  const cpu = cpuSince(before, fleetCpu(fleet, way.pids));
  const storeCalls = (await storeCallsOf(fleet)) - callsBefore;
  return {
    answeredMs: answered.map(({ atMs }) => atMs - startMs),
    leasedMs,
    publishedMs,
    wokenMs: answered.map(({ key, atMs }) => atMs - (publishedAt.get(key) ?? atMs)),
    cost: { ...cpu, storeCalls },
  };
}

function rowOf({ name, pids }: Way, bursts: readonly Burst[], keys: string): BoundRow {
  const middle = (values: readonly number[]) => percentile(values, 0.5);
  const hop = (of: 'answeredMs' | 'leasedMs' | 'publishedMs' | 'wokenMs') => {
    const values = bursts.flatMap((one) => one[of]);
    return `p50 ${middle(values).toFixed(1)}, p99 ${percentile(values, 0.99).toFixed(1)} ms`;
  };
  // The kernel counts a replica's time in hundredths of a second, so only the mean of many bursts is exact enough.
  const ms = (of: keyof FleetCpu) =>
    (bursts.reduce((sum, { cost }) => sum + cost[of], 0) / bursts.length / 1_000).toFixed(1);
  return {
    kind: 'bound',
    name: `${name}, ${CALLERS} callers of ${keys}, load ${loadavg()[0]?.toFixed(1)}`,
    value: middle(bursts.map(({ answeredMs }) => middle(answeredMs) - REBUILD_MS)),
    unit: `ms above the rebuild of ${REBUILD_MS} ms, median of ${bursts.length} bursts' p50`,
    facts: [
      `waiters answered ${hop('answeredMs')}; leases given ${hop('leasedMs')}`,
      `publishes answered after ${hop('publishedMs')}; their waiters after ${hop('wokenMs')}`,
      `CPU: ${pids.length} replicas ${ms('replicasUs')} ms, lock nodes ${ms('lockNodesUs')}, store ${ms('storeUs')}, ` +
        `callers ${ms('callersUs')}; ${middle(bursts.map(({ cost }) => cost.storeCalls))} script calls at the store`,
    ],
  };
}

async function storeCallsOf({ store }: Fleet): Promise<number> {
  const calls = /cmdstat_evalsha:calls=(\d+)/.exec(await store.command('INFO', 'commandstats'));
  return Number(calls?.[1] ?? 0);
}
