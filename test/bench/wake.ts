import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Caller, textOf } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import { BareEcho } from './bare-echo.js';
import { type Bench, measured, type Row, row } from './bench.js';

const ROUNDS = 500;
/** Code is slow until it has been compiled, in both processes. */
const WARM_UP_ROUNDS = 100;
/** How long a waiter has to begin its wait before the publish. */
const SETTLED_MS = 5;
/** The usual recipe: sleep, read again. */
const RECIPE_SLEEP_MS = 100;
const RECIPE_ROUNDS = 60;

/**
 * From a publish received by one replica to the answer of a waiter on another, without other load. It is timed in the
 * client that makes both calls. Half a bare unary call is subtracted: the publish's way to the service.
 */
export const wake: Bench = {
  name: 'wake',
  async run(): Promise<Row[]> {
    const fleet = await Fleet.start({ replicas: 2 });
    const reading = await Fleet.start({ replicas: 2, env: { DIBS_WAKE_VALUE_BYTES: '0' } });
    const echo = await BareEcho.start();
    const [holder, waiter] = callersOf(fleet);
    const [readingHolder, readingWaiter] = callersOf(reading);
    const redis = new Redis(fleet.store.url);
    try {
      const woken: number[] = [];
      const read: number[] = [];
      const seen: number[] = [];
      const limit: number[] = [];
      const trips: number[] = [];
      // In turns, so that other load on the machine affects both.
      for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
        const wokenMs = await wakeOnce(holder, waiter, `wake ${round}`);
        const readMs = await wakeOnce(readingHolder, readingWaiter, `wake ${round}`);
        const pingsMs = await timed(async () => {
          await redis.ping();
          await redis.ping();
        });
        const tripMs = await timed(async () => void (await redis.ping()));
        const unaryMs = await timed(() => echo.client.call());
        if (round < 0) continue;
        seen.push(wokenMs);
        woken.push(wokenMs - unaryMs / 2);
        read.push(readMs - unaryMs / 2);
        limit.push(pingsMs + unaryMs);
        trips.push(3 * tripMs);
      }
      const ours = measured('publish received to waiter answered', woken);
      const theirs = measured('SET, seen by a loop that sleeps 100 ms', await recipe(redis, fleet.store.url));
      return [
        row(ours, measured('two Redis PINGs and a bare unary call', limit), { ratioMax: 1 }),
        row(ours, measured('the same where the wake carries no value', read)),
        row(ours, measured('three round trips to Redis', trips), { ratioMax: 1, by: 'p99' }),
        row(measured('publish sent to waiter answered', seen), theirs),
      ];
    } finally {
      redis.disconnect();
      for (const caller of [holder, waiter, readingHolder, readingWaiter]) caller.close();
      echo.stop();
      await Promise.all([fleet.stop(), reading.stop()]);
    }
  },
};

const callersOf = ({ replicas }: Fleet) =>
  replicas.map(({ target }) => new Caller(target)) as [Caller, Caller];

async function wakeOnce(holder: Caller, waiter: Caller, key: string): Promise<number> {
  const { token } = await holder.lease({ key });
  const answer = waiter.getOrLock({ key, waitMs: 10_000 });
  await sleep(SETTLED_MS);
  const startMs = performance.now();
  const published = holder.publishText(key, token, 'value');
  const text = textOf(await answer);
  const tookMs = performance.now() - startMs;
  await published;
  if (text !== 'value') throw new Error(`the waiter was not woken with the value: ${text}`);
  return tookMs;
}

/** The time of something that begins on an idle machine, as a wake does. */
async function timed(work: () => Promise<void>): Promise<number> {
  await sleep(SETTLED_MS);
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function recipe(writer: Redis, storeUrl: string): Promise<number[]> {
  const reader = new Redis(storeUrl);
  const tookMs: number[] = [];
  for (let round = 0; round < RECIPE_ROUNDS; round++) {
    const key = `recipe ${round}`;
    const seen = (async () => {
      while ((await reader.get(key)) === null) await sleep(RECIPE_SLEEP_MS);
      return performance.now();
    })();
    // Spread over the recipe's sleep, as publishes are.
    await sleep(RECIPE_SLEEP_MS * (1 + round / RECIPE_ROUNDS));
    const startMs = performance.now();
    await writer.set(key, 'value');
    tookMs.push((await seen) - startMs);
  }
  reader.disconnect();
  return tookMs;
}
