import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { mainThreadMsOf } from '../support/cpu-of.js';
import { Fleet } from '../support/fleet.js';
import { type AnyRow, AS_SHIPPED, type Bench } from './bench.js';
import { type FleetCosts, growthTables } from './fleet-model.js';
import { cpuUsOf } from './rate.js';

const REPLICAS = [1, 2, 4, 8];
/** Each stands for one process, with separate connections and shares. */
const CLIENTS = 4;
/** For each client and each replica that gets calls, so that as many calls share a turn for any number of replicas. */
const IN_FLIGHT = 16;
const WARM_UP_MS = 2_000;
/** Before the first measurement of a fleet, so that the code is compiled. */
const FIRST_WARM_UP_MS = 6_000;
const ROUND_MS = 4_000;
/** Wakes without other work: how many at a time, and how many times. */
const BULK = 500;
const BULKS = 200;
const SETTLED_MS = 500;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 600_000;

/** Which replicas get the calls. */
const WAYS = ['one replica', 'all replicas', 'all replicas, key affinity'] as const;
type Way = (typeof WAYS)[number];

/** For each publish of a new key, in µs of CPU. Wakes and calls are numbers. */
interface Costs {
  /** All replicas together. */
  readonly replicasUs: number;
  /** One replica without calls: one wake, alone or with few others. */
  readonly idleUs: number;
  readonly storeUs: number;
  readonly lockNodeUs: number;
  /** Wakes that the store sends. */
  readonly wakes: number;
  /** Scripts that run at the store and at each lock node. */
  readonly storeCalls: number;
  readonly lockNodeCalls: number;
}

/** The cost of each wake if many arrive together. */
interface BulkCosts {
  /** One replica. */
  readonly replicaUs: number;
  /** The store, for all replicas. */
  readonly storeUs: number;
}

/** The cost of one publish for each part as replicas are added. Shows which part limits a fleet first. */
export const growthOfFleet: Bench = {
  name: 'growth-of-fleet',
  async run(): Promise<AnyRow[]> {
    const rows: AnyRow[] = [];
    const all = new Map<string, Costs>();
    const bulks: BulkCosts[] = [];
    for (const replicas of REPLICAS) {
      const fleet = await Fleet.start({
        replicas,
        lockNodes: 3,
        env: AS_SHIPPED,
      });
      try {
        await warmUp(fleet);
        for (const way of WAYS) {
          const costs = await costsOf(fleet, way);
          all.set(`${replicas} ${way}`, costs);
          rows.push(rowOf(`${replicas} replicas, calls to ${way}`, costs));
        }
        const bulk = await bulkOf(fleet);
        bulks.push(bulk);
        rows.push(bulkRowOf(replicas, bulk));
      } finally {
        await fleet.stop();
      }
    }
    const alike = WAYS.map((way) => all.get(`1 ${way}`) as Costs);
    const costs = modelOf(alike, bulks);
    const facts = [JSON.stringify(costs), ...growthTables(costs)];
    rows.push({
      kind: 'bound',
      name: 'load of the machine',
      value: loadavg()[0] ?? 0,
      unit: 'at the end',
      facts,
    });
    return rows;
  },
};

/**
 * The costs for the model. `alike`: the same work with 1 replica, of which the least disturbed run counts. `bulks`:
 * from 1 replica to the most.
 */
function modelOf(alike: readonly Costs[], bulks: readonly BulkCosts[]): FleetCosts {
  const least = (pick: (costs: Costs) => number) => rounded(Math.min(...alike.map(pick)));
  const [first, last] = [bulks[0] as BulkCosts, bulks.at(-1) as BulkCosts];
  const more = (REPLICAS.at(-1) ?? 2) - 1;
  return {
    cycleUs: least(({ replicasUs }) => replicasUs),
    wakeUs: rounded(last.replicaUs),
    storeUs: least(({ storeUs }) => storeUs),
    fanOutUs: rounded(Math.max(0.01, (last.storeUs - first.storeUs) / more)),
    lockNodeUs: least(({ lockNodeUs }) => lockNodeUs),
  };
}

/** Two digits, because the measurements are no more exact. */
const rounded = (us: number) => Number(us.toPrecision(2));

async function warmUp({ replicas }: Fleet): Promise<void> {
  const clients = replicas.map((replica) => new DibsClient({ target: replica.target }));
  await publishes(clients, 'first', FIRST_WARM_UP_MS, IN_FLIGHT);
  for (const client of clients) client.close();
}

/** Sends wakes of unknown keys as fast as the store takes them. */
async function bulkOf({ replicas, store }: Fleet): Promise<BulkCosts> {
  const redis = new Redis(store.url);
  const used = () => ({
    replicasUs: sum(replicas.map(({ pid }) => cpuUsOf(pid))),
    storeUs: mainThreadMsOf(store.pid) * 1_000,
  });
  const before = used();
  for (let bulk = 0; bulk < BULKS; bulk += 1) {
    const pipeline = redis.pipeline();
    for (let at = 0; at < BULK; at += 1) {
      const id = Buffer.from(`default\0bulk ${bulk} ${at}`).toString('base64url');
      pipeline.publish('dibs:wake', `published:${bulk + 1}:${id}`);
    }
    await pipeline.exec();
  }
  await sleep(SETTLED_MS);
  const after = used();
  redis.disconnect();
  const wakes = BULK * BULKS;
  return {
    replicaUs: (after.replicasUs - before.replicasUs) / wakes / replicas.length,
    storeUs: (after.storeUs - before.storeUs) / wakes,
  };
}

function bulkRowOf(replicas: number, { replicaUs, storeUs }: BulkCosts): AnyRow {
  const facts = [`the store ${storeUs.toFixed(2)} µs for all of them`];
  const name = `${replicas} replicas, ${(BULK * BULKS).toLocaleString('en')} wakes as fast as they come`;
  return { kind: 'bound', name, value: replicaUs, unit: 'µs of CPU a wake, each replica', facts };
}

async function costsOf(fleet: Fleet, way: Way): Promise<Costs> {
  const called = way === 'one replica' ? fleet.replicas.slice(0, 1) : fleet.replicas;
  const target = `ipv4:${called.map((replica) => replica.target).join()}`;
  const keyAffinity = way === 'all replicas, key affinity';
  const clients = Array.from({ length: CLIENTS }, () => new DibsClient({ target, keyAffinity }));
  const servers = [fleet.store, ...fleet.lockNodes].map(({ url }) => new Redis(url));
  const [store, lockNode] = servers as [Redis, Redis];
  try {
    const inFlight = IN_FLIGHT * called.length;
    await publishes(clients, `${way} warm`, WARM_UP_MS, inFlight);
    const before = await usage(fleet, store, lockNode);
    const done = await publishes(clients, way, ROUND_MS, inFlight);
    const after = await usage(fleet, store, lockNode);
    const each = (pick: (used: typeof before) => number) => (pick(after) - pick(before)) / done;
    const idle = fleet.replicas.length - called.length;
    const idleUs = (used: typeof before) => sum(used.replicasUs.slice(called.length));
    return {
      replicasUs: each(({ replicasUs }) => sum(replicasUs)),
      idleUs: idle === 0 ? 0 : each(idleUs) / idle,
      storeUs: each((used) => used.storeUs),
      lockNodeUs: each((used) => used.lockNodesUs) / fleet.lockNodes.length,
      wakes: each((used) => used.wakes),
      storeCalls: each((used) => used.storeCalls),
      lockNodeCalls: each((used) => used.lockNodeCalls),
    };
  } finally {
    for (const client of clients) client.close();
    for (const server of servers) server.disconnect();
  }
}

let keys = 0;

/** Misses new keys, each with its lease and publish. Returns how many. */
async function publishes(
  clients: readonly DibsClient[],
  name: string,
  ms: number,
  inFlight: number,
): Promise<number> {
  const untilMs = performance.now() + ms;
  let done = 0;
  const one = async (client: DibsClient) => {
    while (performance.now() < untilMs) {
      keys += 1;
      const key = `${name} ${keys}`;
      const outcome = await client.getOrLock({ key });
      if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
      await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
      done += 1;
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: inFlight }, () => one(client))));
  return done;
}

async function usage(fleet: Fleet, store: Redis, lockNode: Redis) {
  const [storeCalls, lockNodeCalls] = await Promise.all([callsOf(store), callsOf(lockNode)]);
  const [, subscribers] = (await store.pubsub('NUMSUB', 'dibs:wake')) as [string, number];
  return {
    replicasUs: fleet.replicas.map(({ pid }) => cpuUsOf(pid)),
    storeUs: mainThreadMsOf(fleet.store.pid) * 1_000,
    lockNodesUs: sum(fleet.lockNodes.map(({ pid }) => mainThreadMsOf(pid) * 1_000)),
    wakes: storeCalls.published * subscribers,
    storeCalls: storeCalls.scripts,
    lockNodeCalls: lockNodeCalls.scripts,
  };
}

async function callsOf(redis: Redis): Promise<{ scripts: number; published: number }> {
  const stats = await redis.info('commandstats');
  const of = (command: string) => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  return { scripts: of('evalsha') + of('eval'), published: of('publish') };
}

function rowOf(name: string, costs: Costs): AnyRow {
  const us = (value: number) => value.toFixed(value < 10 ? 1 : 0);
  return {
    ...{ kind: 'bound', name, value: costs.replicasUs, unit: 'µs of CPU a publish, all replicas' },
    facts: [
      `store ${us(costs.storeUs)} µs, each lock node ${us(costs.lockNodeUs)} µs, ` +
        `a replica without calls ${us(costs.idleUs)} µs`,
      `${costs.wakes.toFixed(2)} wakes sent, ${costs.storeCalls.toFixed(2)} scripts at the store, ` +
        `${costs.lockNodeCalls.toFixed(2)} at each lock node`,
    ],
  };
}

const sum = (all: readonly number[]) => all.reduce((one, other) => one + other, 0);
