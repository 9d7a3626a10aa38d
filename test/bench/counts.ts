import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { Fleet } from '../support/fleet.js';
import type { RedisServer } from '../support/redis-server.js';
import { until } from '../support/until.js';
import type { Bench, BoundRow } from './bench.js';

const IN_FLIGHT = 64;
/** Warm code awaits less, because it already has what cold code has to request. */
const WARM_UP_CYCLES = 2_000;
const CYCLES = 4_000;
const PLACES_MAX = 25;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 600_000;

interface Counted {
  readonly counts: Readonly<Record<string, number>>;
  readonly places: Readonly<Record<string, number>>;
}

/** The promises, timers and calls of a cold cycle, and the time of its scripts. Needs no idle machine. */
export const counts: Bench = {
  name: 'counts',
  async run(): Promise<BoundRow[]> {
    const file = join(mkdtempSync(join(tmpdir(), 'dibs-counts-')), 'counts.json');
    const fleet = await Fleet.start({ replicas: 0 });
    try {
      const replica = await fleet.addReplica({
        NODE_OPTIONS: `--max-semi-space-size=64 --import ${process.cwd()}/test/bench/count-resources.mjs`,
        COUNTS_FILE: file,
      });
      const client = new DibsClient({ target: replica.target });
      await drive(client, WARM_UP_CYCLES);
      const [store, node] = [fleet.store, fleet.lockNodes[0] as RedisServer];
      const before = [await scriptsOf(store), await scriptsOf(node)] as const;
      process.kill(replica.pid, 'SIGUSR2');
      await drive(client, CYCLES);
      process.kill(replica.pid, 'SIGUSR2');
      await until(() => existsSync(file));
      const after = [await scriptsOf(store), await scriptsOf(node)] as const;
      client.close();
      const counted = JSON.parse(readFileSync(file, 'utf8')) as Counted;
      return [
        rowOf(counted, [
          script('the store', before[0], after[0]),
          script('one lock node', before[1], after[1]),
        ]),
      ];
    } finally {
      await fleet.stop();
    }
  },
};

let keys = 0;

async function drive(client: DibsClient, cycles: number): Promise<void> {
  let left = cycles;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      keys += 1;
      const key = `key ${keys}`;
      const outcome = await client.getOrLock({ key });
      if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
      await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
}

interface Scripts {
  readonly calls: number;
  readonly us: number;
}

async function scriptsOf(server: RedisServer): Promise<Scripts> {
  const found = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(await server.command('INFO', 'commandstats'));
  return { calls: Number(found?.[1] ?? 0), us: Number(found?.[2] ?? 0) };
}

function script(name: string, before: Scripts, after: Scripts): string {
  const calls = after.calls - before.calls;
  const us = (after.us - before.us) / CYCLES;
  return `${name}: ${((calls * IN_FLIGHT) / CYCLES).toFixed(1)} script calls for ${IN_FLIGHT} cycles, ${us.toFixed(1)} µs a cycle`;
}

function rowOf({ counts: made, places }: Counted, scripts: readonly string[]): BoundRow {
  const each = (count: number) => (count / CYCLES).toFixed(2).padStart(8);
  const sorted = (of: Readonly<Record<string, number>>) => Object.entries(of).sort(([, a], [, b]) => b - a);
  return {
    kind: 'bound',
    name: `cold cycle, ${IN_FLIGHT} in flight`,
    value: (made.PROMISE ?? 0) / CYCLES,
    unit: 'promises of the replica each time',
    facts: [
      ...scripts,
      'made, each time:',
      ...sorted(made).map(([type, count]) => `${each(count)}  ${type}`),
      'promises by the place where they are made:',
      ...sorted(places)
        .slice(0, PLACES_MAX)
        .map(([place, count]) => `${each(count)}  ${place}`),
    ],
  };
}
