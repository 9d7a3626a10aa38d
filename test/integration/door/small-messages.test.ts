import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect, it } from 'vitest';
import { AUTH_FILE, namespace, sha256 } from '../../support/access-trial.js';
import { Beside, isServed } from '../../support/beside.js';
import { floodSessions } from '../../support/flood.js';
import { Replica } from '../../support/replica.js';

// Many small messages on sessions. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
const SESSIONS = 10;
const ATTACK_MS = 3_000;
/** Generous: the machine may run forty busy processes. */
const P50_MS_MAX = 1_000;

const folder = mkdtempSync(join(tmpdir(), 'dibs-small-'));
const file = join(folder, 'auth.yaml');
writeFileSync(
  file,
  `${AUTH_FILE}
  hurried: { tokens: [${sha256('hurried')}], permissions: { shop: [read] }, calls_per_second: 5 }
  free: { tokens: [${sha256('free')}], permissions: { shop: [read] } }
`,
);
let replica: Replica;
let beside: Beside;
afterEach(async () => {
  beside?.close();
  await replica?.kill();
});
afterAll(() => rmSync(folder, { recursive: true }));

for (const { kind, token, known } of [
  { kind: 'empty', token: 'hurried', known: true },
  { kind: 'empty', token: 'free', known: true },
  { kind: 'empty', token: 'free', known: false },
  { kind: 'cancellations', token: 'hurried', known: true },
  { kind: 'calls without a request', token: 'hurried', known: true },
  { kind: 'calls without a request', token: 'free', known: false },
] as const) {
  const whose = known ? `of the identity ${token}` : 'without a DIBS_AUTH_FILE';
  it(`small messages ${whose}, ${kind}: cost the others little`, async () => {
    replica = await Replica.start(known ? { DIBS_AUTH_FILE: file } : {}, MAIN);
    beside = await Beside.start(replica, { token: 'checkout' }, namespace);
    await beside.during('nothing', () => sleep(1_000));
    const seen = await beside.during(`${kind} ${whose}`, async () => {
      const { opened, connected } = await floodSessions(replica.target, kind, SESSIONS, ATTACK_MS, token);
      console.log(`${Math.round((opened * 1_000) / ATTACK_MS)} messages a second on ${connected} sessions`);
    });
    expect(seen).toSatisfy(isServed);
    expect(seen.p50Ms).toBeLessThan(P50_MS_MAX);
  });
}
