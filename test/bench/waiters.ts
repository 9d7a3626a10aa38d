import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GetOrLockRequest, type SessionCall } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import { memoryOf } from '../support/memory-of.js';
import type { Replica } from '../support/replica.js';
import { SessionCaller } from '../support/session-caller.js';
import { until } from '../support/until.js';
import type { AnyRow, Bench } from './bench.js';
import { cpuUsOf } from './rate.js';

const WAITERS = 100_000;
const KEYS = 10;
const SESSIONS = 10;
const CALLS_PER_MESSAGE = 500;
const WOKEN = 10_000;
const LARGE_WAITERS = 600;
const LARGE_BYTES = 1_000_000;

/** The memory of 100,000 waiters on one replica, and how long its loop stalls when 10,000 wake. */
export const waiters: Bench = {
  name: 'waiters',
  async run(): Promise<AnyRow[]> {
    const folder = mkdtempSync(join(tmpdir(), 'dibs-bench-'));
    const fleet = await Fleet.start({
      replicas: 0,
      env: { DIBS_LEASE_MS: '60000', DIBS_WAIT_MAX_MS: '120000' },
    });
    try {
      const replica = await fleet.addReplica({
        NODE_OPTIONS: `--import ${process.cwd()}/test/bench/loop-delay.mjs`,
        LOOP_DELAY_FILE: join(folder, 'delay'),
      });
      const rows: AnyRow[] = [await memory(replica)];
      for (const bytes of [100, 10_240]) rows.push(await stall(replica, join(folder, 'delay'), bytes));
      rows.push(await large(replica));
      return rows;
    } finally {
      await fleet.stop();
      rmSync(folder, { recursive: true });
    }
  },
};

/** Sends `count` GetOrLock calls that will wait, spread over the keys. */
function wait(session: SessionCaller, keys: readonly string[], count: number): void {
  let calls: SessionCall[] = [];
  for (let at = 0; at < count; at += 1) {
    const value = GetOrLockRequest.fromPartial({ key: keys[at % keys.length] as string, waitMs: 100_000 });
    calls.push(session.callOf({ $case: 'getOrLock', value }));
    if (calls.length < CALLS_PER_MESSAGE) continue;
    session.send({ calls });
    calls = [];
  }
}

async function memory(replica: Replica): Promise<AnyRow> {
  const holder = await SessionCaller.open(replica.target);
  const keys = Array.from({ length: KEYS }, (_, at) => `waited for ${at}`);
  for (const key of keys) await holder.lease({ key, leaseMs: 60_000 });
  const sessions = await Promise.all(
    Array.from({ length: SESSIONS }, () => SessionCaller.open(replica.target)),
  );
  const beforeBytes = memoryOf(replica.pid);
  for (const session of sessions) wait(session, keys, WAITERS / SESSIONS);
  await until(async () => (await waitersOf(replica)) === WAITERS, 60_000);
  // After a collection, so that garbage does not count.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const bytes = memoryOf(replica.pid) - beforeBytes;
  for (const session of [...sessions, holder]) session.drop();
  await until(async () => (await waitersOf(replica)) === 0, 60_000);
  const name = `${WAITERS.toLocaleString('en')} waiters on one replica`;
  const facts = [`${Math.round(bytes / WAITERS)} bytes each`];
  return { kind: 'bound', name, value: bytes / 2 ** 20, unit: 'MiB', max: 200, facts };
}

async function waitersOf(replica: Replica): Promise<number> {
  const text = await (await fetch(`${replica.httpUrl}/metrics`)).text();
  return Number(/^dibs_waiters(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1] ?? Number.NaN);
}

async function stall(replica: Replica, file: string, bytes: number): Promise<AnyRow> {
  let longestMs = 0;
  for (let round = 0; round < 5; round += 1) {
    const key = `woken ${bytes} ${round}`;
    const holder = await SessionCaller.open(replica.target);
    const { token } = await holder.lease({ key, leaseMs: 60_000 });
    const sessions = await Promise.all(
      Array.from({ length: SESSIONS }, () => SessionCaller.open(replica.target)),
    );
    for (const session of sessions) wait(session, [key], WOKEN / SESSIONS);
    await until(async () => (await waitersOf(replica)) === WOKEN, 60_000);
    await delayMs(replica, file);
    const payload = { $case: 'value', value: Buffer.alloc(bytes, 'v') } as const;
    holder.ask({
      $case: 'publish',
      value: { namespace: '', key, token, payload, ttlMs: 60_000, staleMs: undefined, tags: [] },
    });
    await until(() => sessions.every(({ replies }) => replies.length === WOKEN / SESSIONS), 60_000);
    const tookMs = await delayMs(replica, file);
    // The first round warms up.
    if (round > 0) longestMs = Math.max(longestMs, tookMs);
    for (const session of [...sessions, holder]) session.drop();
  }
  const name = `longest stall when ${WOKEN.toLocaleString('en')} wake, ${bytes} bytes`;
  return { kind: 'bound', name, value: longestMs, unit: 'ms', max: 50 };
}

/** The replica's cost to give 600 callers one value of 1 MB. Each answer has to leave it. */
async function large(replica: Replica): Promise<AnyRow> {
  const payload = { $case: 'value', value: Buffer.alloc(LARGE_BYTES, 'v') } as const;
  let cpuUs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round += 1) {
    const key = `large ${round}`;
    const callers = Array.from({ length: SESSIONS }, () => new Caller(replica.target));
    const [holder] = callers as [Caller];
    const { token } = await holder.lease({ key, leaseMs: 60_000 });
    const waits = Array.from({ length: LARGE_WAITERS }, (_, at) =>
      (callers[at % SESSIONS] as Caller).getOrLock({ key, waitMs: 100_000 }),
    );
    await until(async () => (await waitersOf(replica)) === LARGE_WAITERS, 60_000);
    const beforeUs = cpuUsOf(replica.pid);
    await holder.publish({ key, token, payload, ttlMs: 60_000 });
    await Promise.all(waits);
    cpuUs = Math.min(cpuUs, cpuUsOf(replica.pid) - beforeUs);
    for (const caller of callers) caller.close();
  }
  const name = `${LARGE_WAITERS} waiters of one value of 1 MB get it by unary calls, CPU of the replica`;
  return { kind: 'bound', name, value: cpuUs / 1_000, unit: 'ms' };
}

/** The longest stall of the replica's event loop since the last call. */
async function delayMs(replica: Replica, file: string): Promise<number> {
  rmSync(file, { force: true });
  replica.signal('SIGUSR2');
  let text = '';
  await until(() => {
    try {
      text = readFileSync(file, 'utf8');
      return text.endsWith('\n');
    } catch {
      return false;
    }
  });
  return Number(text);
}
