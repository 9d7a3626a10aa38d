import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { Fleet } from '../support/fleet.js';
import { memoryOf } from '../support/memory-of.js';
import { RedisServer } from '../support/redis-server.js';
import type { Replica } from '../support/replica.js';
import { SessionCaller } from '../support/session-caller.js';
import type { AnyRow, Bench } from './bench.js';
import { fillStore, keyOf } from './fill-store.js';
import { cpuUsOf } from './rate.js';

const KEYS = 200_000;
const VALUE = Buffer.alloc(100, 'v');
const SESSIONS = 1_000;
/** Lets Redis keep these hashes in one piece. By default it does so only if no field is above 64 bytes. */
const COMPACT = ['--hash-max-listpack-value', '512'];
const CYCLES = 5_000;
const IN_FLIGHT = 64;

/** What a replica and its Redis need for each value, session and miss, for sizing a fleet. */
export const footprint: Bench = {
  name: 'footprint',
  async run(): Promise<AnyRow[]> {
    const fleet = await Fleet.start({ replicas: 0 });
    try {
      const replica = await fleet.addReplica({
        DIBS_NEAR_CACHE_BYTES: `${2 ** 30}`,
        NODE_OPTIONS: `--import ${process.cwd()}/test/bench/collect-garbage.mjs`,
      });
      const idle = (await neededBy(replica)) / 2 ** 20;
      return [
        { kind: 'bound', name: 'a replica that has done nothing yet', value: idle, unit: 'MiB' },
        ...(await cpuOfCycles(fleet, replica)),
        await memoryOfSessions(replica),
        ...(await memoryOfKeys(fleet, replica)),
      ];
    } finally {
      await fleet.stop();
    }
  },
};

/** The cost of a miss with its lease and publish, for the replica, the store and all lock nodes together. */
async function cpuOfCycles(fleet: Fleet, replica: Replica): Promise<AnyRow[]> {
  const client = new DibsClient({ target: replica.target });
  const cycles = async (name: string) => {
    let at = 0;
    const one = async () => {
      while (at < CYCLES) {
        at += 1;
        await client.getOrRebuild(`${name} ${at}`, () => VALUE, { ttlMs: 1_000, codec: bytes() });
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  };
  await cycles('warm');
  const nodesUs = () => fleet.lockNodes.reduce((sum, { pid }) => sum + cpuUsOf(pid), 0);
  const used = () => [cpuUsOf(replica.pid), cpuUsOf(fleet.store.pid), nodesUs()] as const;
  const before = used();
  await cycles('measured');
  const after = used();
  client.close();
  return ['the replica', 'the value store', `${fleet.lockNodes.length} lock nodes together`].map(
    (who, at) => ({
      ...{ kind: 'bound', name: `a miss with its lease and publish, CPU of ${who}`, unit: 'µs' },
      value: ((after[at] ?? 0) - (before[at] ?? 0)) / CYCLES,
    }),
  );
}

async function memoryOfSessions(replica: Replica): Promise<AnyRow> {
  const before = await neededBy(replica);
  const sessions = await Promise.all(
    Array.from({ length: SESSIONS }, () => SessionCaller.open(replica.target)),
  );
  const value = ((await neededBy(replica)) - before) / SESSIONS / 1_024;
  for (const session of sessions) session.drop();
  return { kind: 'bound', name: `an idle session, of ${SESSIONS}`, value, unit: 'KiB' };
}

async function memoryOfKeys(fleet: Fleet, replica: Replica): Promise<AnyRow[]> {
  const name = (where: string) =>
    `a value of ${VALUE.length} bytes in ${where}, of ${KEYS.toLocaleString('en')}`;
  const row = (where: string, value: number, facts: string[] = []): AnyRow => ({
    ...{ kind: 'bound', name: name(where), value, unit: 'bytes', facts },
  });
  const compact = await RedisServer.start({ args: COMPACT });
  try {
    return [
      row('the value store', ...(await costOfOne(fleet.store))),
      row(`a value store with ${COMPACT.join(' ').slice(2)}`, ...(await costOfOne(compact))),
      ...(await bytesOfOneNear(fleet.store, replica, row)),
    ];
  } finally {
    await compact.stop();
  }
}

/** The bytes of one value, and the CPU time to write it. */
async function costOfOne(store: RedisServer): Promise<[number, string[]]> {
  const redis = new Redis(store.url);
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  const before = { bytes: await used(), cpuUs: cpuUsOf(store.pid) };
  await fillStore(store.url, KEYS, VALUE);
  const after = { bytes: await used(), cpuUs: cpuUsOf(store.pid) };
  redis.disconnect();
  const us = (after.cpuUs - before.cpuUs) / KEYS;
  return [(after.bytes - before.bytes) / KEYS, [`${us.toFixed(1)} µs of CPU for its arming and its publish`]];
}

/** Measured on the second half of the keys, because the first half also grows the heap for the calls themselves. */
async function bytesOfOneNear(
  store: RedisServer,
  replica: Replica,
  row: (where: string, value: number, facts: string[]) => AnyRow,
): Promise<AnyRow[]> {
  const client = new DibsClient({ target: replica.target });
  const read = async (from: number, to: number) => {
    let at = from;
    const one = async () => {
      while (at < to) {
        at += 1;
        await client.getOrLock({ key: keyOf(at - 1) });
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, one));
    const storeUs = cpuUsOf(store.pid);
    const metrics = await (await fetch(`${replica.httpUrl}/metrics`)).text();
    const counted = Number(/^dibs_near_cache_bytes (\d+)/m.exec(metrics)?.[1]);
    return { held: await neededBy(replica), counted, storeUs };
  };
  const half = await read(0, KEYS / 2);
  const whole = await read(KEYS / 2, KEYS);
  client.close();
  const each = (of: 'held' | 'counted' | 'storeUs') => (whole[of] - half[of]) / (KEYS / 2);
  const counted = Math.round(each('counted'));
  return [
    row('the near cache', each('held'), [`${counted} of them are counted against DIBS_NEAR_CACHE_BYTES`]),
    {
      ...{ kind: 'bound', name: 'a read that the near cache has not, CPU of the value store', unit: 'µs' },
      value: each('storeUs'),
    },
  ];
}

/** The memory that a replica holds after a garbage collection. */
async function neededBy(replica: Replica): Promise<number> {
  // Twice, because the second round returns to the machine what the first one freed.
  for (let round = 0; round < 2; round += 1) {
    replica.signal('SIGUSR2');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
  }
  return memoryOf(replica.pid);
}
