import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect, it } from 'vitest';
import { Beside, isServed } from '../../support/beside.js';
import { TestAuthority } from '../../support/certificates.js';
import { cpuMsOf } from '../../support/cpu-of.js';
import { floodConnections } from '../../support/flood.js';
import { Replica } from '../../support/replica.js';
import { SessionCaller } from '../../support/session-caller.js';

// Connections that are opened and closed as fast as possible. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
const [BEFORE_MS, ATTACK_MS] = [1_000, 5_000];
const PARALLEL = 100;
/** An address may open half of them at once, or 1,000. */
const CONNECTIONS_MAX = 2_000;
/** A hundred more each second, also before the attack and while its last ones come. */
const ADMITTED_MAX = CONNECTIONS_MAX / 2 + (100 * (ATTACK_MS + 2 * BEFORE_MS)) / 1_000;
/** An address has a hundred new ones then. */
const RECOVERED_MS = 1_000;

const authority = new TestAuthority();
const { cert, key } = authority.issue();
const TLS = { DIBS_TLS_CERT: cert, DIBS_TLS_KEY: key };
let replica: Replica;
let beside: Beside;
afterEach(async () => {
  beside?.close();
  await replica?.kill();
});
afterAll(() => authority.close());

it.each([
  { port: 'gRPC', tls: false, kind: 'preface' },
  { port: 'gRPC', tls: true, kind: 'hello' },
  { port: 'gRPC', tls: true, kind: 'garbage' },
  { port: 'HTTP', tls: false, kind: 'garbage' },
  { port: 'HTTP', tls: true, kind: 'hello' },
] as const)('new connections to $port (TLS $tls), each with a $kind: cost the others little', async (one) => {
  const { port, tls, kind } = one;
  replica = await Replica.start({ DIBS_CONNECTIONS: String(CONNECTIONS_MAX), ...(tls && TLS) }, MAIN);
  const shownBy = tls ? { tls: { ca: authority.ca } } : {};
  beside = await Beside.start(replica, shownBy);
  await beside.during('nothing', () => sleep(BEFORE_MS));
  const before = cpuMsOf(replica.pid);
  const target = port === 'gRPC' ? replica.target : new URL(replica.httpUrl).host;
  let connected = 0;
  const seen = await beside.during(`${port}, TLS ${tls}, ${kind}`, async () => {
    ({ connected } = await floodConnections(target, kind, PARALLEL, ATTACK_MS));
    console.log(`${Math.round((connected * 1_000) / ATTACK_MS)} connections a second`);
  });
  const cpuMsPerS = ((cpuMsOf(replica.pid) - before) * 1_000) / ATTACK_MS;
  console.log(`the replica took ${Math.round(cpuMsPerS)} ms a second`);
  expect(seen).toSatisfy(isServed);
  // A busy machine may open fewer.
  if (connected > ADMITTED_MAX) expect(replica.log).toContain('"why":"connections"');
  // The address itself is served again after the flood.
  await sleep(RECOVERED_MS);
  const late = await SessionCaller.open(replica.target, {}, shownBy);
  late.drop();
});
