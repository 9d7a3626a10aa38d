import { loadavg } from 'node:os';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { Fleet } from '../support/fleet.js';
import { AS_SHIPPED, type Bench, measured, type Row, row } from './bench.js';
import { cpuSince, type FleetCpu, fleetCpu } from './fleet-cpu.js';
import { Recipe } from './recipes.js';

const KEYS = 10_000;
/** For the way that asks for many keys in a call. */
const KEYS_PER_CALL = 1_000;
const ROUNDS = 7;
/** Code is slow until it has been compiled. */
const WARM_UP_ROUNDS = 3;
const VALUE = Buffer.alloc(100, 'v');
const options = { ttlMs: 3_600_000, codec: bytes() };

/** Asks for all keys, and rebuilds each. */
type Way = (prefix: string) => Promise<unknown>;

/** 10,000 keys whose values are gone, all requested at once by one process. The rebuild itself takes no time. */
export const flush: Bench = {
  name: 'flush',
  async run(): Promise<Row[]> {
    const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
    const client = new DibsClient({ target: fleet.replicas.map(({ target }) => target).join(',') });
    const recipe = new Recipe(fleet, { pipelining: true });
    const ways: Readonly<Record<string, Way>> = {
      'Dibs, a call for each key': (prefix) =>
        all(KEYS, (at) => client.getOrRebuild(`${prefix} ${at}`, () => VALUE, options)),
      'Dibs, calls for 1,000 keys': (prefix) =>
        all(KEYS / KEYS_PER_CALL, (call) => {
          const keys = Array.from({ length: KEYS_PER_CALL }, (_, at) => `${prefix} ${call} ${at}`);
          return client.getOrRebuildMany(
            keys,
            (missing) => new Map(missing.map((key) => [key, VALUE])),
            options,
          );
        }),
      'ioredis and redlock, automatic pipelining': (prefix) =>
        all(KEYS, (at) => recipe.getOrRebuild(`${prefix} ${at}`, async () => VALUE)),
    };
    const pids = fleet.replicas.map(({ pid }) => pid);
    const tookMs = new Map<string, number[]>();
    const costs = new Map<string, FleetCpu>();
    try {
      for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
        for (const [name, way] of Object.entries(ways)) {
          const before = fleetCpu(fleet, pids);
          const startMs = performance.now();
          await way(`${name} ${round}`);
          const took = performance.now() - startMs;
          if (round < 0) continue;
          tookMs.set(name, [...(tookMs.get(name) ?? []), took]);
          costs.set(name, cpuSince(before, fleetCpu(fleet, pids), KEYS));
        }
      }
    } finally {
      client.close();
      recipe.close();
      await fleet.stop();
    }
    const [each, many, theirs] = Object.keys(ways).map((name) => measured(name, tookMs.get(name) ?? []));
    if (each === undefined || many === undefined || theirs === undefined) throw new Error('a way is missing');
    const facts = [`load ${loadavg()[0]?.toFixed(1)}`, ...[...costs].map(([name, cost]) => said(name, cost))];
    return [row(each, theirs), row(many, theirs, { facts })];
  },
};

function all(count: number, one: (at: number) => Promise<unknown>): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, at) => one(at)));
}

/** Of the last round. */
function said(name: string, { callersUs, replicasUs, lockNodesUs, storeUs }: FleetCpu): string {
  const [callers, replicas, lockNodes, store] = [callersUs, replicasUs, lockNodesUs, storeUs].map((us) =>
    us.toFixed(0),
  );
  return `${name}: CPU for a key ${callers} µs callers, ${replicas} replicas, ${lockNodes} lock nodes, ${store} store`;
}
