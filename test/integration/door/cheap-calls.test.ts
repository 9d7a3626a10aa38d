import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect, it } from 'vitest';
import { AUTH_FILE, namespace } from '../../support/access-trial.js';
import { Beside, isServed } from '../../support/beside.js';
import { Caller } from '../../support/caller.js';
import { cpuMsOf } from '../../support/cpu-of.js';
import { flood } from '../../support/flood.js';
import { Replica } from '../../support/replica.js';
import { until } from '../../support/until.js';

// Many calls that cost their caller almost nothing. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
/** Long enough to compare: the p99 of few calls is their slowest, and those before the code is optimized are slow. */
const LONG = { warmMs: 3_000, beforeMs: 30_000, attackMs: 30_000 };
const SHORT = { warmMs: 0, beforeMs: 1_000, attackMs: 5_000 };
const { warmMs, beforeMs, attackMs } = process.env.DIBS_TEST_LONG === '1' ? LONG : SHORT;
/** Per second of an attack by callers that need a token. Without bounds it takes the whole second. */
const CPU_MS_PER_S_MAX = 700;

const folder = mkdtempSync(join(tmpdir(), 'dibs-cheap-'));
let replica: Replica;
let beside: Beside;
const file = join(folder, 'auth.yaml');
writeFileSync(file, AUTH_FILE);
afterEach(async () => {
  beside?.close();
  await replica?.kill();
});

afterAll(() => rmSync(folder, { recursive: true }));

for (const { name, kind, connections, known } of [
  { name: 'calls without a token, as many as possible', kind: 'calls', connections: 4, known: true },
  { name: 'health checks without a token', kind: 'probes', connections: 50, known: true },
  { name: 'rapid resets on eight connections', kind: 'resets', connections: 8, known: true },
  { name: 'the same without a DIBS_AUTH_FILE', kind: 'resets', connections: 8, known: false },
] as const) {
  it(`${name}: cost the others little`, async () => {
    replica = await Replica.start(known ? { DIBS_AUTH_FILE: file } : {}, MAIN);
    beside = await Beside.start(replica, { token: 'checkout' }, namespace);
    await beside.during('nothing, warming up', () => sleep(warmMs));
    await beside.during('nothing', () => sleep(beforeMs));
    const before = cpuMsOf(replica.pid);
    let flooded = { opened: 0, connected: 0 };
    const seen = await beside.during(name, async () => {
      flooded = await flood(replica.target, kind, connections, attackMs);
    });
    const cpuMsPerS = ((cpuMsOf(replica.pid) - before) * 1_000) / attackMs;
    console.log(`${JSON.stringify(flooded)}; the replica took ${Math.round(cpuMsPerS)} ms a second`);
    expect(seen).toSatisfy(isServed);
    // Connections were closed.
    if (known) expect(flooded.connected).toBeGreaterThan(connections);
    if (known) expect(cpuMsPerS).toBeLessThan(CPU_MS_PER_S_MAX);
    // Others at the same address can connect again after the flood.
    await until(() => mayConnect(replica), 60_000);
  });
}

/** Whether a client with a token is served on a new connection. */
async function mayConnect({ target }: Replica): Promise<boolean> {
  const caller = new Caller(target, { token: 'checkout' });
  const served = await caller.getOrLock({ namespace, key: Beside.key }, { deadlineMs: 5_000 }).then(
    () => true,
    () => false,
  );
  caller.close();
  return served;
}
