import { build } from 'hdr-histogram-js';
import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { Fleet } from '../support/fleet.js';
import type { AnyRow, Bench, Measured } from './bench.js';
import { row } from './bench.js';

const RATES = [5_000, 20_000, 50_000];
const SECONDS = 4;
const WARM_UP_SECONDS = 1;
const KEYS = 1_000;
const VALUE = Buffer.alloc(100, 'v');

/**
 * Hits that start on a schedule, even if earlier ones have not ended. So a stall counts for every request that it
 * delays, from the moment at which the request was due.
 */
export const openLoop: Bench = {
  name: 'open-loop',
  async run(): Promise<AnyRow[]> {
    const fleet = await Fleet.start({ replicas: 1 });
    const client = new DibsClient({ target: (fleet.replicas[0] as (typeof fleet.replicas)[0]).target });
    const redis = new Redis(fleet.store.url, { enableAutoPipelining: true });
    const keyOf = (at: number) => `open ${at % KEYS}`;
    try {
      for (let at = 0; at < KEYS; at += 1) {
        await client.getOrRebuild(keyOf(at), () => VALUE, { ttlMs: 3_600_000, codec: bytes() });
        await redis.set(keyOf(at), VALUE);
      }
      const rows: AnyRow[] = [];
      for (const perSecond of RATES) {
        const ours = await scheduled('session, near cache', perSecond, (at) =>
          client.getOrLock({ key: keyOf(at) }),
        );
        const theirs = await scheduled('ioredis GET, automatic pipelining', perSecond, (at) =>
          redis.getBuffer(keyOf(at)),
        );
        rows.push(row(ours.measured, theirs.measured, { by: 'p99', facts: [ours.fact, theirs.fact] }));
      }
      return rows;
    } finally {
      client.close();
      redis.disconnect();
      await fleet.stop();
    }
  },
};

async function scheduled(
  name: string,
  perSecond: number,
  once: (at: number) => Promise<unknown>,
): Promise<{ measured: Measured; fact: string }> {
  await arrivals(perSecond, WARM_UP_SECONDS, once, () => {});
  // Microseconds, up to a minute, to three digits.
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });
  await arrivals(perSecond, SECONDS, once, (tookMs) =>
    histogram.recordValue(Math.max(1, Math.round(tookMs * 1_000))),
  );
  const ms = (percentile: number) => histogram.getValueAtPercentile(percentile) / 1_000;
  const title = `${name}, ${perSecond.toLocaleString('en')} a second`;
  return {
    measured: { name: title, rounds: histogram.totalCount, p50Ms: ms(50), p99Ms: ms(99) },
    fact: `${name}: p99.9 ${ms(99.9)} ms, at most ${histogram.maxValue / 1_000} ms`,
  };
}

/** Starts each request when it is due, or at once if the loop is late, and measures from when it was due. */
async function arrivals(
  perSecond: number,
  seconds: number,
  once: (at: number) => Promise<unknown>,
  took: (ms: number) => void,
): Promise<void> {
  const count = perSecond * seconds;
  const startMs = performance.now();
  const open: Promise<void>[] = [];
  for (let at = 0; at < count; ) {
    for (
      const dueBy = ((performance.now() - startMs) / 1_000) * perSecond;
      at < Math.min(dueBy, count);
      at += 1
    ) {
      const dueMs = startMs + (at / perSecond) * 1_000;
      open.push(once(at).then(() => took(performance.now() - dueMs)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(open);
}
