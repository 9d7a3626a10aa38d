import { DibsClient } from '../../clients/typescript/src/client.js';
import { Fleet } from '../support/fleet.js';
import type { Replica } from '../support/replica.js';
import type { AnyRow, Bench, Rate } from './bench.js';
import { fillStore, keyOf } from './fill-store.js';
import { rates, repeating, type Way } from './rate.js';

const COUNTS = [1_000, 100_000, 1_000_000];
const CLIENTS = [1, 10, 100];
const IN_FLIGHT = 256;
/** The lowest rate with the most keys or clients, relative to the rate with the fewest. */
const RATIO_MIN = 0.8;
const VALUE = Buffer.alloc(100, 'v');

/** Hits a second as keys and clients grow. The cost of one call must not grow. */
export const growth: Bench = {
  name: 'growth',
  async run(): Promise<AnyRow[]> {
    const fleet = await Fleet.start({ replicas: 0 });
    const near = await fleet.addReplica({
      DIBS_NEAR_CACHE_BYTES: `${2 ** 32}`,
      NODE_OPTIONS: '--max-old-space-size=8192',
    });
    const far = await fleet.addReplica({ DIBS_NEAR_CACHE_BYTES: '0' });
    try {
      await fillStore(fleet.store.url, COUNTS.at(-1) ?? 0, VALUE);
      const rows: AnyRow[] = [];
      for (const [replica, where] of [
        [near, 'all in the near cache'],
        [far, 'none in the near cache'],
      ] as const) {
        rows.push(...(await keysGrow(replica, where)));
      }
      rows.push(...(await clientsGrow(near)));
      return rows;
    } finally {
      await fleet.stop();
    }
  },
};

/** Reads random keys, so that the machine's caches find no pattern. */
function hitsOf(client: DibsClient, count: number) {
  return async () => {
    const { kind } = await client.getOrLock({ key: keyOf(Math.floor(Math.random() * count)) });
    if (kind !== 'hit') throw new Error(`expected a hit, got ${kind}`);
  };
}

async function keysGrow(replica: Replica, where: string): Promise<AnyRow[]> {
  const client = new DibsClient({ target: replica.target });
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async (_, first) => {
      for (let at = first; at < (COUNTS.at(-1) ?? 0); at += IN_FLIGHT)
        await client.getOrLock({ key: keyOf(at) });
    }),
  );
  const name = (count: number) => `${count.toLocaleString('en')} keys`;
  const ways: Way[] = COUNTS.map((count) => ({
    name: name(count),
    serverPid: replica.pid,
    run: repeating(hitsOf(client, count)),
  }));
  const of = await rates(ways, IN_FLIGHT);
  client.close();
  return compared(
    `${where}, ${IN_FLIGHT} in flight`,
    COUNTS.map((count) => of(name(count))),
  );
}

async function clientsGrow(replica: Replica): Promise<AnyRow[]> {
  const measured: Rate[] = [];
  for (const count of CLIENTS) {
    const clients = Array.from({ length: count }, () => new DibsClient({ target: replica.target }));
    const name = `${count} clients`;
    const hits = clients.map((client) => hitsOf(client, 1_000));
    // The same number in flight for each client, so that its messages stay as full.
    const of = await rates(
      [{ name, serverPid: replica.pid, run: repeating((at) => (hits[at % count] as () => Promise<void>)()) }],
      64 * count,
    );
    measured.push(of(name));
    for (const client of clients) client.close();
  }
  return compared('64 in flight for each client', measured);
}

function compared(title: string, [least, ...more]: readonly Rate[]): AnyRow[] {
  return more.map((measured) => ({
    ...{ kind: 'rates', title, measured },
    ...{ alternative: least as Rate, ratioMin: RATIO_MIN },
  }));
}
