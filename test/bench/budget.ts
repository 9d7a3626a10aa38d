import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Caller } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import { type Bench, measured, type Row, row } from './bench.js';

const KEYS = 10_000;
const PLACES = 20;
const REBUILD_MS = 10;

/** 10,000 different keys after a flush, with 20 rebuild places in the whole fleet, and without a bound. */
export const budget: Bench = {
  name: 'budget',
  async run(): Promise<Row[]> {
    const folder = mkdtempSync(join(tmpdir(), 'dibs-bench-'));
    const config = join(folder, 'dibs.yaml');
    writeFileSync(config, `namespaces: { bounded: { max_rebuilds: ${PLACES} } }`);
    const fleet = await Fleet.start({ replicas: 3, env: { DIBS_CONFIG: config, DIBS_LEASE_MS: '5000' } });
    const callers = fleet.replicas.map(({ target }) => new Caller(target));
    try {
      await Promise.all(callers.map((caller) => caller.connect()));
      const free = await flood(callers, 'free');
      const bounded = await flood(callers, 'bounded');
      if (bounded.most > PLACES) throw new Error(`${bounded.most} rebuilds at once in ${PLACES} places`);
      const facts = [free, bounded].map(
        ({ namespace, most, rebuilds }) => `${namespace}: ${rebuilds} rebuilds, at most ${most} at once`,
      );
      const name = `${KEYS.toLocaleString('en')} keys, a rebuild of ${REBUILD_MS} ms each`;
      const ours = measured(`${name}, ${PLACES} at a time`, bounded.tookMs);
      return [{ ...row(ours, measured(`${name}, no bound`, free.tookMs)), facts }];
    } finally {
      for (const caller of callers) caller.close();
      await fleet.stop();
      rmSync(folder, { recursive: true });
    }
  },
};

/** Requests all keys at once, and rebuilds where it gets the lease. */
async function flood(callers: readonly Caller[], namespace: string) {
  let [running, most, rebuilds] = [0, 0, 0];
  const one = async (caller: Caller, key: string) => {
    const startMs = performance.now();
    for (;;) {
      const { outcome } = await caller.getOrLock({ namespace, key, waitMs: 30_000 });
      if (outcome?.$case === 'hit') return performance.now() - startMs;
      if (outcome?.$case !== 'lease') {
        await sleep(outcome?.value.retryAfterMs ?? 0);
        continue;
      }
      running += 1;
      rebuilds += 1;
      most = Math.max(most, running);
      await sleep(REBUILD_MS);
      running -= 1;
      const payload = { $case: 'value', value: Buffer.from('v') } as const;
      await caller.publish({ namespace, key, token: outcome.value.token, payload, ttlMs: 600_000 });
      return performance.now() - startMs;
    }
  };
  const tookMs = await Promise.all(
    Array.from({ length: KEYS }, (_, at) => one(callers[at % callers.length] as Caller, `key ${at}`)),
  );
  return { namespace, most, rebuilds, tookMs };
}
