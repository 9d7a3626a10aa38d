import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { AUTH_FILE, namespace } from '../../support/access-trial.js';
import { Beside, isServed } from '../../support/beside.js';
import { cpuMsOf } from '../../support/cpu-of.js';
import { floodHttp } from '../../support/flood.js';
import { Replica } from '../../support/replica.js';
import { until } from '../../support/until.js';

// Many requests of pages, which cost their caller almost nothing. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
const [BEFORE_MS, ATTACK_MS] = [1_000, 5_000];
const CONNECTIONS = 20;
/** Per second of an attack. Without bounds it takes the whole second. */
const CPU_MS_PER_S_MAX = 500;

const folder = mkdtempSync(join(tmpdir(), 'dibs-cheap-requests-'));
const file = join(folder, 'auth.yaml');
let replica: Replica;
let beside: Beside;
beforeAll(() => writeFileSync(file, AUTH_FILE));
afterEach(async () => {
  beside?.close();
  await replica?.kill();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The status of a probe on a new connection from another address; 0 if it was closed. */
function probe(): Promise<number> {
  return new Promise((resolve) => {
    const request = get(
      `${replica.httpUrl}/healthz`,
      { agent: false, localAddress: '127.0.0.2' },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    request.on('error', () => resolve(0));
  });
}

it.each([
  ['probes', '/healthz'],
  ['refused scrapes', '/metrics'],
  ['refused consoles', '/'],
  ['probes in pieces of a thousand', 'pipelined'],
])('%s, as many as possible: cost the others little', async (name, kind) => {
  replica = await Replica.start({ DIBS_AUTH_FILE: file }, MAIN);
  beside = await Beside.start(replica, { token: 'checkout' }, namespace);
  await beside.during('nothing', () => sleep(BEFORE_MS));
  const before = cpuMsOf(replica.pid);
  let flooded = { opened: 0, connected: 0 };
  const probes: number[] = [];
  const seen = await beside.during(name, async () => {
    const probing = setInterval(async () => probes.push(await probe()), 200);
    flooded = await floodHttp(replica.httpUrl, kind, CONNECTIONS, ATTACK_MS);
    clearInterval(probing);
  });
  const cpuMsPerS = ((cpuMsOf(replica.pid) - before) * 1_000) / ATTACK_MS;
  console.log(`${JSON.stringify(flooded)}; the replica took ${Math.round(cpuMsPerS)} ms a second`);
  expect(seen).toSatisfy(isServed);
  expect(probes.filter((status) => status !== 200)).toEqual([]);
  expect(flooded.connected).toBeGreaterThan(CONNECTIONS);
  expect(cpuMsPerS).toBeLessThan(CPU_MS_PER_S_MAX);
  // The address itself is served again after the flood.
  await until(async () => {
    const response = await fetch(`${replica.httpUrl}/healthz`).catch(() => undefined);
    return response?.status === 200;
  });
});
