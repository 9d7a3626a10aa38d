import { loadavg } from 'node:os';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { Fleet } from '../support/fleet.js';
import { AS_SHIPPED, type Bench, type BoundRow } from './bench.js';
import { cpuSince, type FleetCpu, fleetCpu } from './fleet-cpu.js';
import { Recipe } from './recipes.js';

const ROUNDS = 5;
const ROUND_MS = 1_500;
const WARM_UP_MS = 500;
/** Before the measurement, with the most in flight, so that the code is compiled. */
const FIRST_WARM_UP_MS = 5_000;
const IN_FLIGHT = [1, 16, 64];
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 600_000;
/** `dist/main.js` of another version, to measure in the same run. */
const BESIDE = process.env.DIBS_BENCH_BESIDE;

/** The cost of one cycle. */
interface Cost extends FleetCpu {
  readonly perSecond: number;
}

interface Way {
  readonly name: string;
  /** Undefined without a replica. */
  readonly replicaPid: number | undefined;
  once(key: string): Promise<unknown>;
  close(): void;
}

/**
 * The cost of miss, lease and publish for each process, compared with ioredis and redlock directly. Each key is new.
 */
export const cycle: Bench = {
  name: 'cycle',
  async run(): Promise<BoundRow[]> {
    const fleet = await Fleet.start({ replicas: 0 });
    const ways = [await dibs(fleet, 'Dibs', AS_SHIPPED)];
    if (BESIDE !== undefined) ways.push(await dibs(fleet, 'Dibs, the other version', {}, BESIDE));
    ways.push(recipe(fleet));
    try {
      for (const way of ways) await during(fleet, way, Math.max(...IN_FLIGHT), FIRST_WARM_UP_MS);
      const rows: BoundRow[] = [];
      for (const inFlight of IN_FLIGHT) rows.push(...(await costs(fleet, ways, inFlight)));
      return rows;
    } finally {
      for (const way of ways) way.close();
      await fleet.stop();
    }
  },
};

async function dibs(
  fleet: Fleet,
  name: string,
  env: Readonly<Record<string, string>>,
  main?: string,
): Promise<Way> {
  const replica = await fleet.addReplica(env, main);
  const client = new DibsClient({ target: replica.target });
  return {
    name,
    replicaPid: replica.pid,
    once: async (key) => {
      const outcome = await client.getOrLock({ key });
      if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
      await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
    },
    close: () => client.close(),
  };
}

function recipe(fleet: Fleet): Way {
  const by = new Recipe(fleet, { pipelining: true });
  return {
    name: 'ioredis and redlock, automatic pipelining',
    replicaPid: undefined,
    once: async (key) => {
      if ((await by.store.getBuffer(key)) !== null) throw new Error('expected a miss');
      if ((await by.cycle(key, async () => VALUE)) === undefined) throw new Error('expected the lock');
    },
    close: () => by.close(),
  };
}

/** Runs all ways in turns, so that other load on the machine affects all of them. */
async function costs(fleet: Fleet, ways: readonly Way[], inFlight: number): Promise<BoundRow[]> {
  const all = new Map<Way, Cost[]>(ways.map((way) => [way, []]));
  for (const way of ways) await during(fleet, way, inFlight, WARM_UP_MS);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
      all.get(way)?.push(await during(fleet, way, inFlight, ROUND_MS));
    }
  }
  const load = loadavg()[0]?.toFixed(1);
  return ways.map((way) => rowOf(way, all.get(way) ?? [], `${inFlight} in flight, load ${load}`));
}

function rowOf(way: Way, costs: readonly Cost[], when: string): BoundRow {
  const middle = (pick: (cost: Cost) => number) => {
    const sorted = costs.map(pick).sort((one, other) => one - other);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  };
  const us = (pick: (cost: Cost) => number) => middle(pick).toFixed(0);
  const isDirect = way.replicaPid === undefined;
  return {
    kind: 'bound',
    name: `${way.name}, ${when}`,
    value: middle(isDirect ? (cost) => cost.callersUs : (cost) => cost.replicasUs),
    unit: `µs of CPU a cycle, ${isDirect ? 'its callers' : 'the replica'}`,
    facts: [
      `lock nodes ${us((cost) => cost.lockNodesUs)} µs, store ${us((cost) => cost.storeUs)} µs, ` +
        `callers ${us((cost) => cost.callersUs)} µs; ${us((cost) => cost.perSecond)} cycles a second`,
    ],
  };
}

let keys = 0;

async function during(fleet: Fleet, way: Way, inFlight: number, ms: number): Promise<Cost> {
  let done = 0;
  const untilMs = performance.now() + ms;
  const pids = way.replicaPid === undefined ? [] : [way.replicaPid];
  const before = fleetCpu(fleet, pids);
  const startMs = performance.now();
  const one = async () => {
    while (performance.now() < untilMs) {
      keys += 1;
      await way.once(`${way.name} ${keys}`);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  const cpu = cpuSince(before, fleetCpu(fleet, pids), done);
  return { ...cpu, perSecond: (done / (performance.now() - startMs)) * 1_000 };
}
