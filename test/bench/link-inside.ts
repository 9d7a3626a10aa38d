// `npm run bench -- link` runs this in a separate network namespace. Prints each row as a line of JSON.
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { PublishOutcome } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import { percentile } from '../support/percentile.js';
import type { BoundRow } from './bench.js';
import { FarSide } from './far-side.js';

const MIB = 2 ** 20;
const VALUE = Buffer.alloc(MIB, 'v');
/** 1 Gbit/s, with the headers around each MiB. */
const LINK_MIB_PER_SECOND = 114;
const VALUES = 60;
const WAITERS = 100;
const TTL_MS = 600_000;
/** How many times a small value is read during a burst. */
const BESIDE_MS = 20;
const WAITERS_PROGRAM = fileURLToPath(new URL('./far-waiters.js', import.meta.url));

const far = await FarSide.start();
const env = { DIBS_STORE_URL: far.url, DIBS_NEAR_CACHE_BYTES: '0', DIBS_INSECURE: 'true' };
const fleet = await Fleet.start({ replicas: 0, env });
const [here, there] = [
  await fleet.addReplica(),
  await fleet.addReplica({ DIBS_LISTEN: `${far.nearAddress}:0` }),
];
const [caller, other] = [new Caller(here.target), new Caller(there.target)];
const redis = new Redis(far.url);
await Promise.all([caller.connect(), other.connect()]);

const rows = [linkItself, publishes, reads, readsBeside, waitersHere, waitersThere];
for (const row of rows) console.log(JSON.stringify(await row()));

redis.disconnect();
for (const each of [caller, other]) each.close();
await fleet.stop();
far.stop();

async function linkItself(): Promise<BoundRow> {
  await redis.set('bytes', Buffer.alloc(16 * MIB));
  const startMs = performance.now();
  for (let round = 0; round < 4; round += 1) await redis.getBuffer('bytes');
  const seconds = (performance.now() - startMs) / 1_000;
  const facts = [`load ${loadavg()[0]?.toFixed(1)}`];
  return { kind: 'bound', name: 'GET through the link', value: 64 / seconds, unit: 'MiB a second', facts };
}

function keyOf(at: number): string {
  return `large ${at}`;
}

async function publishes(): Promise<BoundRow> {
  const leases = await Promise.all(
    Array.from({ length: VALUES }, (_, at) => caller.lease({ key: keyOf(at), leaseMs: 60_000 })),
  );
  const startMs = performance.now();
  const outcomes = await Promise.all(leases.map(({ token }, at) => published(keyOf(at), token)));
  const stored = outcomes.filter((outcome) => outcome === PublishOutcome.PUBLISH_OUTCOME_STORED);
  return shareRow(`${VALUES} publishes of 1 MiB at once, stored`, stored.length, VALUES, startMs);
}

async function published(key: string, token: string): Promise<PublishOutcome> {
  const payload = { $case: 'value', value: VALUE } as const;
  return (await caller.publish({ key, token, payload, ttlMs: TTL_MS })).outcome;
}

async function reads(): Promise<BoundRow> {
  const startMs = performance.now();
  return shareRow(`${VALUES} reads of 1 MiB at once, hits`, await hitsOfAll(), VALUES, startMs);
}

async function hitsOfAll(): Promise<number> {
  let hits = 0;
  const keys = Array.from({ length: VALUES }, (_, at) => keyOf(at));
  for await (const { result } of caller.getOrLockMany({ keys })) {
    if (result?.$case === 'response' && result.value.outcome?.$case === 'hit') hits += 1;
  }
  return hits;
}

/** Reads small values of another namespace, on the same replica and the same connection to the store. */
async function readsBeside(): Promise<BoundRow> {
  const request = { namespace: 'small', key: 'small' };
  const { token } = await caller.lease(request);
  const payload = { $case: 'value', value: Buffer.alloc(100) } as const;
  await caller.publish({ ...request, token, payload, ttlMs: TTL_MS });
  let isOver = false;
  const tookMs: number[] = [];
  const asking = (async () => {
    while (!isOver) {
      const startMs = performance.now();
      await other.getOrLock({ ...request, read: 2 });
      tookMs.push(performance.now() - startMs);
      await sleep(BESIDE_MS);
    }
  })();
  // On the other replica, so that this measures the store's link and not this program.
  const hits = await hitsOfAll();
  isOver = true;
  await asking;
  const facts = [`p50 ${percentile(tookMs, 0.5).toFixed(0)} ms, of ${tookMs.length}; ${hits} hits of 1 MiB`];
  const name = 'small READ_STORE hits beside that burst, p99';
  return { kind: 'bound', name, value: percentile(tookMs, 0.99), unit: 'ms', facts };
}

/** Many callers wait on one replica for another replica's publish. The value crosses the link once. */
async function waitersHere(): Promise<BoundRow> {
  const key = 'waited for here';
  const { token } = await other.lease({ key });
  const waiting = Array.from({ length: WAITERS }, () => caller.getOrLock({ key, waitMs: 30_000 }));
  await sleep(500);
  const sentBefore = await sentBytes();
  const startMs = performance.now();
  await other.publish({ key, token, payload: { $case: 'value', value: VALUE }, ttlMs: TTL_MS });
  const answers = await Promise.all(waiting);
  const hits = answers.filter(({ outcome }) => outcome?.$case === 'hit').length;
  const row = shareRow(`${WAITERS} waiters of 1 MiB on another replica, hits`, hits, WAITERS, startMs, 1);
  const moved = `the store sent ${((await sentBytes()) - sentBefore) / MIB > 1.5 ? 'more than one value' : 'one value'}`;
  return { ...row, facts: [...(row.facts ?? []), moved] };
}

/** The waiters themselves are behind the link, which carries the value to each of them. */
async function waitersThere(): Promise<BoundRow> {
  const key = 'waited for there';
  const { token } = await other.lease({ key });
  const child = far.run(WAITERS_PROGRAM, [there.target, key, `${WAITERS}`]);
  if (child.stdout === null) throw new Error('the program has no standard output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  await sleep(500);
  const startMs = performance.now();
  await other.publish({ key, token, payload: { $case: 'value', value: VALUE }, ttlMs: TTL_MS });
  const publishedMs = performance.now() - startMs;
  const answers = JSON.parse(String((await lines.next()).value)) as { kind: string }[];
  const hits = answers.filter(({ kind }) => kind === 'hit').length;
  const row = shareRow(`${WAITERS} waiters of 1 MiB behind the link, hits`, hits, WAITERS, startMs);
  if (child.exitCode === null) await once(child, 'exit');
  return {
    ...row,
    facts: [...(row.facts ?? []), `its publish was answered after ${publishedMs.toFixed(0)} ms`],
  };
}

async function sentBytes(): Promise<number> {
  return Number(/^total_net_output_bytes:(\d+)/m.exec(await redis.info('stats'))?.[1]);
}

function shareRow(name: string, value: number, of: number, startMs: number, passing = of): BoundRow {
  const aloneMs = (passing * 1_000) / LINK_MIB_PER_SECOND;
  const facts = [
    `${(performance.now() - startMs).toFixed(0)} ms, of which the bytes alone take ${aloneMs.toFixed(0)} ms`,
  ];
  return { kind: 'bound', name, value, unit: `of ${of}`, facts };
}
