import { DibsClient } from '../../clients/typescript/src/client.js';
import { cpuMsOf } from '../support/cpu-of.js';
import { Fleet } from '../support/fleet.js';
import type { AnyRow, Bench } from './bench.js';
import { fillStore, keyOf } from './fill-store.js';

const REPLICAS = [1, 2, 4];
/** Twice as many values as one replica can keep. A near entry takes about half a kilobyte in addition to its value. */
const KEYS = 8_000;
const VALUE = Buffer.alloc(500, 'v');
const NEAR_CACHE_BYTES = 4 * 1_024 * 1_024;
/** Each stands for one process, with separate connections and shares. */
const CLIENTS = 4;
const IN_FLIGHT = 32;
const READS = 10_000;

/**
 * Random reads of a working set that fits into the near caches of all replicas together, but not into one. Counts how
 * many reads reach the store, with each key at any replica, and with all clients using the same replica for a key.
 */
export const affinity: Bench = {
  name: 'affinity',
  async run(): Promise<AnyRow[]> {
    const rows: AnyRow[] = [];
    for (const replicas of REPLICAS) rows.push(...(await readsOf(replicas)));
    return rows;
  },
};

async function readsOf(replicas: number): Promise<AnyRow[]> {
  const rows: AnyRow[] = [];
  for (const keyAffinity of [false, true]) {
    const fleet = await Fleet.start({ replicas, env: { DIBS_NEAR_CACHE_BYTES: `${NEAR_CACHE_BYTES}` } });
    const target = `ipv4:${fleet.replicas.map((replica) => replica.target).join()}`;
    const clients = Array.from({ length: CLIENTS }, () => new DibsClient({ target, keyAffinity }));
    try {
      await fillStore(fleet.store.url, KEYS, VALUE);
      // Sessions with all replicas, warm code and warm caches.
      await readAll(clients);
      await readAll(clients);
      const before = await costsOf(fleet);
      await readAll(clients);
      const after = await costsOf(fleet);
      const reads = CLIENTS * READS;
      const name = `${replicas} replicas, ${keyAffinity ? 'key affinity' : 'each client its own shares'}`;
      const cpu = (what: 'storeMs' | 'replicasMs') =>
        ((1_000 * (after[what] - before[what])) / reads).toFixed(1);
      rows.push({
        kind: 'bound',
        name: `${name}: of 100 reads of ${KEYS.toLocaleString('en')} keys, at the store`,
        value: (100 * (after.reads - before.reads)) / reads,
        unit: 'reads',
        facts: [`CPU of the store ${cpu('storeMs')} µs a read, of all replicas ${cpu('replicasMs')} µs`],
      });
    } finally {
      for (const client of clients) client.close();
      await fleet.stop();
    }
  }
  return rows;
}

async function readAll(clients: readonly DibsClient[]): Promise<void> {
  const read = async (client: DibsClient) => {
    for (let at = 0; at < READS / IN_FLIGHT; at += 1) {
      const { kind } = await client.getOrLock({ key: keyOf(Math.floor(Math.random() * KEYS)) });
      if (kind !== 'hit') throw new Error(`expected a hit, got ${kind}`);
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: IN_FLIGHT }, () => read(client))));
}

async function costsOf({ replicas, store }: Fleet) {
  const reads = await Promise.all(replicas.map((replica) => readsAtStore(replica.httpUrl)));
  return {
    reads: sum(reads),
    storeMs: cpuMsOf(store.pid),
    replicasMs: sum(replicas.map(({ pid }) => cpuMsOf(pid))),
  };
}

async function readsAtStore(httpUrl: string): Promise<number> {
  const text = await (await fetch(`${httpUrl}/metrics`)).text();
  const counted = text.matchAll(/^dibs_store_steps_total\{[^}]*step="read"[^}]*\} (\d+)/gm);
  return sum([...counted].map(([, count]) => Number(count)));
}

const sum = (all: readonly number[]) => all.reduce((one, other) => one + other, 0);
