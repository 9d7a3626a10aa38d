import { setTimeout as sleep } from 'node:timers/promises';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { WAKE_VALUE_BYTES_MAX } from '../../src/coordination/ports/wake-channel.js';
import { mainThreadMsOf } from '../support/cpu-of.js';
import { Fleet } from '../support/fleet.js';
import { percentile } from '../support/percentile.js';
import type { AnyRow, Bench } from './bench.js';
import { fanOut } from './fan-out.js';

const REPLICAS = [1, 2, 4];
/** Published at once, each by a separate call, so that this many wakes arrive together. */
const KEYS = 64;
const ROUNDS = 40;
/** Code is slow until it has been compiled. */
const WARM_UP_ROUNDS = 10;
/** How long waiters have to begin their waits before the publishes. */
const SETTLED_MS = 20;
const TTL_MS = 3_600_000;
const JSON_OF_NO_TAGS = 2;
const LARGEST_BYTES = WAKE_VALUE_BYTES_MAX - JSON_OF_NO_TAGS;
/** With the last size, the wake does not carry the value. */
const SIZES = [100, LARGEST_BYTES, LARGEST_BYTES + 1];

/** What the other replicas have of a published key: nothing, an older value in their near caches, or a waiter. */
const INTERESTS = ['no interest', 'a near entry', 'a waiter'] as const;
type Interest = (typeof INTERESTS)[number];

/** The CPU time of the holder's replica, of all others and of the store. */
interface Spent {
  holderMs: number;
  othersMs: number;
  storeMs: number;
}

interface Cost {
  readonly spent: Spent;
  readonly idle: Spent;
  /** How long the busy and the idle phase lasted. */
  spentMs: number;
  idleMs: number;
  readonly tookMs: number[];
}

/**
 * The cost of a publish for the replica that makes it, for each other replica and for the store, with a value that fits
 * in the wake and with one that is a byte too large. Also shows how long the other replicas' callers wait for it.
 */
export const wakes: Bench = {
  name: 'wakes',
  async run(): Promise<AnyRow[]> {
    const rows: AnyRow[] = [];
    for (const replicas of REPLICAS) rows.push(...(await rowsOf(replicas)));
    rows.push(...(await fanOut()));
    return rows;
  },
};

async function rowsOf(replicas: number): Promise<AnyRow[]> {
  const fleet = await Fleet.start({ replicas });
  const clients = fleet.replicas.map(({ target }) => new DibsClient({ target }));
  const costs = new Map<string, Cost>();
  try {
    for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
      for (const interest of replicas === 1 ? (['no interest'] as const) : INTERESTS) {
        // In turns, so that other load on the machine affects all of them.
        for (const bytes of SIZES) {
          const name = `${interest}, ${bytes} bytes`;
          if (round < 0) costs.delete(name);
          const cost = costs.get(name) ?? newCost();
          costs.set(name, cost);
          await publishAll(fleet, clients, { interest, bytes, round, cost });
        }
      }
    }
  } finally {
    for (const client of clients) client.close();
    await fleet.stop();
  }
  return [...costs].map(([name, cost]) => rowOf(`${replicas} replicas, ${name}`, cost, replicas - 1));
}

function newCost(): Cost {
  const none = () => ({ holderMs: 0, othersMs: 0, storeMs: 0 });
  return { spent: none(), idle: none(), spentMs: 0, idleMs: 0, tookMs: [] };
}

function rowOf(name: string, { spent, idle, spentMs, idleMs, tookMs }: Cost, others: number): AnyRow {
  // Without the cost of timers and pings.
  const each = (of: keyof Spent) => ((spent[of] - (idle[of] * spentMs) / idleMs) * 1_000) / (ROUNDS * KEYS);
  const [holderUs, storeUs] = [each('holderMs').toFixed(1), each('storeMs').toFixed(1)];
  const facts = [`CPU of the holder's replica ${holderUs} µs, of the store ${storeUs} µs`];
  if (tookMs.length > 0) {
    const [p50, p99] = [percentile(tookMs, 0.5), percentile(tookMs, 0.99)];
    facts.push(
      `${KEYS} publishes at once, until each other replica's caller has the value: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`,
    );
  }
  const value = others === 0 ? 0 : each('othersMs') / others;
  return { kind: 'bound', name: `${name}: CPU of each other replica`, value, unit: 'µs a publish', facts };
}

interface Batch {
  readonly interest: Interest;
  readonly bytes: number;
  readonly round: number;
  readonly cost: Cost;
}

async function publishAll(
  { replicas: all, store }: Fleet,
  [holder, ...others]: DibsClient[],
  { interest, bytes, round, cost }: Batch,
): Promise<void> {
  if (holder === undefined) return;
  const value = Buffer.alloc(bytes, `${round} `);
  const name = interest === 'a near entry' ? `${interest} ${bytes}` : `${interest} ${bytes} ${round}`;
  const keys = Array.from({ length: KEYS }, (_, at) => `${name} ${at}`);
  const tokens = await Promise.all(keys.map((key) => tokenOf(holder, key)));
  const ask = () => others.flatMap((client) => keys.map((key) => client.getOrLock({ key, waitMs: 10_000 })));
  const waiting = interest === 'a waiter' ? ask() : [];
  await sleep(SETTLED_MS);
  const idleFromMs = performance.now();
  const idle = spentBy(all, store);
  await sleep(2 * SETTLED_MS);
  const before = spentBy(all, store);
  const sentMs = performance.now();
  const publishing = keys.map((key, at) =>
    holder.publish({ key, token: tokens[at] ?? '', value, ttlMs: TTL_MS }),
  );
  for (const answer of waiting)
    void answer.then(() => cost.tookMs.push(performance.now() - sentMs)).catch(() => {});
  await Promise.all([...publishing, ...waiting]);
  // A caller's answer shows that its replica has processed the wake. A near entry must exist for the next round.
  const asked = await Promise.all(
    interest === 'no interest' ? [] : interest === 'a waiter' ? waiting : ask(),
  );
  for (const { kind } of asked) if (kind !== 'hit') throw new Error(`expected a hit, got ${kind}`);
  await sleep(SETTLED_MS);
  const after = spentBy(all, store);
  cost.idleMs += sentMs - idleFromMs;
  cost.spentMs += performance.now() - sentMs;
  add(cost.idle, before, idle);
  add(cost.spent, after, before);
}

function add(to: Spent, after: Spent, before: Spent): void {
  to.holderMs += after.holderMs - before.holderMs;
  to.othersMs += after.othersMs - before.othersMs;
  to.storeMs += after.storeMs - before.storeMs;
}

async function tokenOf(client: DibsClient, key: string): Promise<string> {
  const outcome = await client.getOrLock({ key, intent: 'refresh' });
  if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
  return outcome.token;
}

function spentBy([holder, ...others]: Fleet['replicas'], store: Fleet['store']): Spent {
  const othersMs = others.reduce((sum, { pid }) => sum + mainThreadMsOf(pid), 0);
  return {
    holderMs: holder === undefined ? 0 : mainThreadMsOf(holder.pid),
    othersMs,
    storeMs: mainThreadMsOf(store.pid),
  };
}
