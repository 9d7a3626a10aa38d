import { Redis } from 'ioredis';
import { PublishOutcome } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import type { AnyRow, Bench } from './bench.js';

const MIB = 2 ** 20;
const VALUE = Buffer.alloc(MIB, 'v');
const WAIT_MS = 5_000;
const TTL_MS = 60_000;
/** How long the store's figures need to settle, because it counts bytes as it writes them. */
const SETTLE_MS = 100;

/** A fleet of one replica without a near cache, a caller, and a separate connection to the store. */
interface Bed {
  readonly caller: Caller;
  readonly redis: Redis;
}

/** The cost of large values: the bytes that the store sends for each step, what it holds, and a burst of reads. */
export const values: Bench = {
  name: 'values',
  async run(): Promise<AnyRow[]> {
    const fleet = await Fleet.start({ replicas: 0 });
    const redis = new Redis(fleet.store.url);
    try {
      const replica = await fleet.addReplica({ DIBS_NEAR_CACHE_BYTES: '0' });
      const near = await fleet.addReplica({ DIBS_NEAR_CACHE_BYTES: `${64 * MIB}` });
      const callers = [new Caller(replica.target), new Caller(near.target)] as const;
      await Promise.all(callers.map((caller) => caller.connect()));
      const [caller, nearCaller] = callers;
      const bed: Bed = { caller, redis };
      const rows = [
        ...(await movedBySteps(bed)),
        await movedByReadStore({ caller: nearCaller, redis }),
        await movedByWaiters(bed, 1),
        await movedByWaiters(bed, 200),
        await heldAfter(bed),
        await burst(bed, 250, MIB),
        await burst(bed, 1_000, 100_000),
      ];
      for (const each of callers) each.close();
      return rows;
    } finally {
      redis.disconnect();
      await fleet.stop();
    }
  },
};

async function stored({ caller }: Bed, key: string, { bytes = MIB, ttlMs = TTL_MS, staleMs = 0 } = {}) {
  const { token } = await caller.lease({ key });
  const value = VALUE.subarray(0, bytes);
  const { outcome } = await caller.publish({
    key,
    token,
    payload: { $case: 'value', value },
    ttlMs,
    staleMs,
  });
  if (outcome !== PublishOutcome.PUBLISH_OUTCOME_STORED) throw new Error(`${key} was not stored: ${outcome}`);
}

/** How many bytes the store sent for one action. */
async function sentFor({ redis }: Bed, what: () => Promise<unknown>): Promise<number> {
  const sent = async () => {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    return Number(/^total_net_output_bytes:(\d+)/m.exec(await redis.info('stats'))?.[1]);
  };
  const before = await sent();
  await what();
  return (await sent()) - before;
}

function moved(name: string, bytes: number): AnyRow {
  return { kind: 'bound', name: `the store sends for ${name}`, value: bytes / MIB, unit: 'MiB' };
}

async function movedBySteps(bed: Bed): Promise<AnyRow[]> {
  const { caller } = bed;
  await stored(bed, 'stale', { ttlMs: 1, staleMs: TTL_MS });
  await new Promise((resolve) => setTimeout(resolve, 20));
  const lease = await sentFor(bed, () => caller.lease({ key: 'stale' }));
  const explain = await sentFor(bed, () => caller.explain({ key: 'stale' }));
  return [moved('a lease with its previous value of 1 MiB', lease), moved('Explain of it', explain)];
}

async function movedByReadStore(bed: Bed): Promise<AnyRow> {
  await stored(bed, 'read');
  await bed.caller.getOrLock({ key: 'read' });
  const bytes = await sentFor(bed, async () => {
    for (let at = 0; at < 10; at += 1) await bed.caller.getOrLock({ key: 'read', read: 2 });
  });
  return moved('10 READ_STORE of 1 MiB that the near cache has', bytes);
}

/** Callers that do not accept the stale value and wait. */
async function movedByWaiters(bed: Bed, count: number): Promise<AnyRow> {
  const key = `waited for ${count}`;
  await stored(bed, key, { ttlMs: 1, staleMs: TTL_MS });
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { token } = await bed.caller.lease({ key, leaseMs: 2 * WAIT_MS });
  const waiter = () => bed.caller.getOrLock({ key, stale: 2, waitMs: WAIT_MS });
  const bytes = await sentFor(bed, () => Promise.all(Array.from({ length: count }, waiter)));
  await bed.caller.release({ key, token });
  return moved(`${count} STALE_FORBID waiters beside 1 MiB for ${WAIT_MS / 1_000} s`, bytes);
}

async function heldAfter(bed: Bed): Promise<AnyRow> {
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await bed.redis.info('memory'))?.[1]);
  const before = await used();
  for (let at = 0; at < 30; at += 1) await stored(bed, `short ${at}`, { ttlMs: 300 });
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const name = 'the store holds 3 s after 30 values of 1 MiB with a ttl of 300 ms';
  return { kind: 'bound', name, value: ((await used()) - before) / MIB, unit: 'MiB' };
}

/** All values are stored and fresh. Counts how many reads are hits. */
async function burst(bed: Bed, count: number, bytes: number): Promise<AnyRow> {
  const keyOf = (at: number) => `burst ${bytes} ${at}`;
  for (let at = 0; at < count; at += 1) await stored(bed, keyOf(at), { bytes, ttlMs: 600_000 });
  const startedMs = performance.now();
  const outcomes = new Map<string, number>();
  const keys = Array.from({ length: count }, (_, at) => keyOf(at));
  for await (const { result } of bed.caller.getOrLockMany({ keys })) {
    const outcome =
      result?.$case === 'response' ? (result.value.outcome?.$case ?? 'none') : String(result?.$case);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  const tookMs = performance.now() - startedMs;
  const facts = [...outcomes].map(([outcome, of]) => `${of} ${outcome}`);
  return {
    ...{ kind: 'bound', name: `hits of GetOrLockMany of ${count} stored keys of ${bytes} bytes` },
    ...{ value: outcomes.get('hit') ?? 0, unit: `of ${count}` },
    facts: [`${facts.join(', ')}; ${Math.round(tookMs)} ms`],
  };
}
