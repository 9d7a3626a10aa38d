import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GetOrLockManyRequest, GetOrLockRequest } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { Beside, isServed } from '../../support/beside.js';
import { Caller } from '../../support/caller.js';
import { Http2Connection } from '../../support/http2-connection.js';
import { memoryOf } from '../../support/memory-of.js';
import { Replica } from '../../support/replica.js';
import { SessionCaller } from '../../support/session-caller.js';
import { until } from '../../support/until.js';

// Answers that clients do not read. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
const SERVICE = '/dibs.v1.CoordinatorService';
const MEBIBYTE = 1_048_576;
const LARGE = Buffer.alloc(MEBIBYTE - 1_000, 'x');

let replica: Replica;
let beside: Beside;
let caller: Caller;
beforeEach(async () => {
  replica = await Replica.start({}, MAIN);
  beside = await Beside.start(replica);
  caller = new Caller(replica.target);
});
afterEach(async () => {
  caller?.close();
  beside?.close();
  await replica?.kill();
});

/** Returns by how much the memory of the replica grew at most while `attack` ran, in MiB. */
async function memoryDuring(name: string, attack: () => Promise<unknown>): Promise<number> {
  const before = memoryOf(replica.pid);
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, memoryOf(replica.pid) - before);
  }, 20);
  expect(await beside.during(name, attack)).toSatisfy(isServed);
  clearInterval(watch);
  console.log(`${name}: ${Math.round(most / MEBIBYTE)} MiB`);
  return most / MEBIBYTE;
}

/** Sends calls on a connection that then reads nothing, so its windows do not open. */
function unread(path: string, message: Uint8Array, calls: number) {
  const http2 = new Http2Connection(replica.target);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.byteLength, 1);
  for (let at = 0; at < calls; at += 1) {
    const stream = http2.call(path);
    stream.pause();
    stream.end(Buffer.concat([head, message]));
  }
  return http2;
}

async function publish(key: string, value: Buffer, token?: string): Promise<void> {
  const own = token ?? (await caller.lease({ key, leaseMs: 60_000 })).token;
  await caller.publish({ key, token: own, payload: { $case: 'value', value }, ttlMs: 600_000 });
}

it('600 waiters of one value of 1 MB that read nothing cost bounded memory', async () => {
  const { token } = await caller.lease({ key: 'large', leaseMs: 60_000 });
  const request = GetOrLockRequest.encode(
    GetOrLockRequest.fromPartial({ key: 'large', waitMs: 25_000 }),
  ).finish();
  const most = await memoryDuring('600 waiters of 1 MB', async () => {
    const http2 = unread(`${SERVICE}/GetOrLock`, request, 600);
    await until(async () => (await caller.explain({ key: 'large' })).waiters === 600);
    await publish('large', LARGE, token);
    await sleep(1_500);
    await http2.end();
    // What it has not read is dropped, and not encoded.
    await sleep(1_000);
  });
  expect(most).toBeLessThan(400);
});

it('600 waiters of one value of 1 MB all get it', async () => {
  const { token } = await caller.lease({ key: 'large', leaseMs: 60_000 });
  const readers = new Caller(replica.target);
  const most = await memoryDuring('600 readers of 1 MB', async () => {
    const waits = Array.from({ length: 600 }, () => readers.getOrLock({ key: 'large', waitMs: 25_000 }));
    await until(async () => (await caller.explain({ key: 'large' })).waiters === 600);
    await publish('large', LARGE, token);
    for (const { outcome } of await Promise.all(waits)) expect(outcome?.$case).toBe('hit');
  });
  console.log(`with readers: ${Math.round(most)} MiB`);
  readers.close();
});

it('153 unread answers of GetOrLockMany with large values cost bounded memory', async () => {
  const keys = Array.from({ length: 8 }, (_, at) => `large ${at}`);
  for (const key of keys) await publish(key, LARGE);
  const request = GetOrLockManyRequest.encode(GetOrLockManyRequest.fromPartial({ keys })).finish();
  const most = await memoryDuring('153 unread GetOrLockMany', async () => {
    const http2 = unread(`${SERVICE}/GetOrLockMany`, request, 153);
    await sleep(2_000);
    await http2.end();
  });
  expect(most).toBeLessThan(400);
});

it('a watcher that does not read costs bounded memory, and gets `all` later', async () => {
  const keys = Array.from({ length: 1_000 }, (_, at) => `${at} ${'k'.repeat(1_000)}`);
  const most = await memoryDuring('200 invalidations of 1,000 long keys, unread', async () => {
    const watchers = await Promise.all(
      Array.from({ length: 5 }, () => SessionCaller.open(replica.target, { watchedNamespaces: ['default'] })),
    );
    for (const watcher of watchers) watcher.stream.pause();
    for (let round = 0; round < 200; round += 1) await caller.invalidate({ keys });
    for (const watcher of watchers) watcher.stream.resume();
    await until(() =>
      watchers.every(({ events }) =>
        events.some(({ event }) => event?.$case === 'invalidated' && event.value.all),
      ),
    );
    for (const watcher of watchers) watcher.drop();
  });
  expect(most).toBeLessThan(300);
});

it('unread answers of reflection cost bounded memory', async () => {
  const most = await memoryDuring('reflection, unread', async () => {
    const http2 = new Http2Connection(replica.target);
    const stream = http2.call('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo');
    stream.pause();
    const name = Buffer.from('dibs.v1.CoordinatorService');
    const message = Buffer.concat([Buffer.of(0x22, name.byteLength), name]);
    const one = Buffer.concat([Buffer.of(0, 0, 0, 0, message.byteLength), message]);
    const many = Buffer.concat(Array.from({ length: 200 }, () => one));
    for (let at = 0; at < 100; at += 1) {
      stream.write(many);
      await sleep(20);
    }
    await http2.end();
  });
  expect(most).toBeLessThan(200);
});
