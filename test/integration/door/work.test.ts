import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GetOrLockManyRequest } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { AUTH_FILE, namespace, sha256 } from '../../support/access-trial.js';
import { Beside, isServed } from '../../support/beside.js';
import { Caller } from '../../support/caller.js';
import { Replica } from '../../support/replica.js';
import { SessionCaller } from '../../support/session-caller.js';
import { until } from '../../support/until.js';

// How much work one caller can cause, and until when. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
const BOUNDED = `${AUTH_FILE}
  sweeper: { tokens: [${sha256('sweeper')}], permissions: { shop: [invalidate] }, calls_per_second: 100 }
  hurried: { tokens: [${sha256('hurried')}], permissions: { shop: [read] }, calls_per_second: 5 }
  eager: { tokens: [${sha256('eager')}], permissions: { shop: [read] }, calls_per_second: 5 }
  curious: { tokens: [${sha256('curious')}], permissions: { shop: [read] }, calls_per_second: 5 }
`;

const folder = mkdtempSync(join(tmpdir(), 'dibs-work-'));
const file = join(folder, 'auth.yaml');
let replica: Replica;
let beside: Beside;
beforeAll(async () => {
  writeFileSync(file, BOUNDED);
  replica = await Replica.start({ DIBS_AUTH_FILE: file }, MAIN);
  beside = await Beside.start(replica, { token: 'checkout' }, namespace);
});
afterAll(async () => {
  beside?.close();
  await replica?.kill();
  rmSync(folder, { recursive: true });
});

it('an Invalidate counts as one call for each of its keys', async () => {
  const sweeper = new Caller(replica.target, { token: 'sweeper' });
  const keys = Array.from({ length: 1_000 }, (_, at) => `swept ${at}`);
  let invalidated = 0;
  const seen = await beside.during('invalidations of 1,000 keys at 100 calls a second', async () => {
    const untilMs = performance.now() + 2_000;
    while (performance.now() < untilMs) {
      await sweeper.invalidate({ namespace, keys }).then(
        () => {
          invalidated += keys.length;
        },
        (error) => expect(error.code).toBe(status.RESOURCE_EXHAUSTED),
      );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
  console.log(`keys invalidated in 2 s: ${invalidated}`);
  expect(invalidated).toBe(1_000);
  expect(seen).toSatisfy(isServed);
  sweeper.close();
});

it('each session that is opened counts as a call', async () => {
  const sessions = Array.from({ length: 20 }, () => new SessionCaller(replica.target, { token: 'eager' }));
  for (const session of sessions) session.hello();
  await until(
    () => sessions.every(({ messages, ended }) => messages.length > 0 || ended !== undefined),
    60_000,
  );
  const refused = sessions.filter(({ ended }) => ended !== undefined);
  expect(sessions.length - refused.length).toBeGreaterThanOrEqual(5);
  expect(refused.length).toBeGreaterThan(0);
  for (const { ended } of refused) expect(ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  for (const session of sessions) session.drop();
});

it('each request of reflection counts as a call', async () => {
  const client = new Client(replica.target, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', 'Bearer curious');
  const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  // list_services: ""
  const request = Buffer.of(0x3a, 0);
  const bytes = (it: Buffer) => it;
  const reflecting = client.makeBidiStreamRequest(path, bytes, bytes, metadata);
  let answers = 0;
  reflecting.on('data', () => {
    answers += 1;
  });
  reflecting.on('error', () => {});
  const ended = new Promise<number>((resolve) => reflecting.on('status', ({ code }) => resolve(code)));
  for (let at = 0; at < 100; at += 1) reflecting.write(request);
  expect(await ended).toBe(status.RESOURCE_EXHAUSTED);
  expect(answers).toBeLessThan(100);
  client.close();
});

it('calls that cannot be answered count as calls', async () => {
  const client = new Client(replica.target, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', 'Bearer hasty');
  const bytes = (it: Buffer) => it;
  const undecodable = () =>
    new Promise<number | undefined>((resolve) => {
      const path = '/dibs.v1.CoordinatorService/GetOrLock';
      client.makeUnaryRequest(path, bytes, bytes, Buffer.of(0xff), metadata, (error) => resolve(error?.code));
    });
  const codes = await Promise.all(Array.from({ length: 100 }, undecodable));
  client.close();
  expect(codes).toContain(status.INVALID_ARGUMENT);
  expect(codes).toContain(status.RESOURCE_EXHAUSTED);
  const session = await SessionCaller.open(replica.target, {}, { token: 'hurried' });
  const empty = () => session.replyTo(session.ask(undefined as never));
  const replies = await Promise.all(Array.from({ length: 100 }, empty));
  session.drop();
  const told = replies.map((it) => (it.$case === 'error' ? it.value.code : undefined));
  expect(told).toContain(status.INVALID_ARGUMENT);
  expect(told).toContain(status.RESOURCE_EXHAUSTED);
});

it('one message with much work does not hold up others', async () => {
  const session = await SessionCaller.open(replica.target, {}, { token: 'checkout' });
  const keys = Array.from({ length: 1_000 }, (_, at) => `k${at}`);
  const value = GetOrLockManyRequest.fromPartial({ namespace, keys, waitMs: 0, intent: 2 });
  let tookMs = 0;
  const seen = await beside.during('100 GetOrLockMany of 1,000 keys in one message', async () => {
    const startMs = performance.now();
    const calls = Array.from({ length: 100 }, () => session.callOf({ $case: 'getOrLockMany', value }));
    session.send({ calls });
    const last = calls.at(-1)?.id;
    await until(() => session.replies.at(-1)?.id === last && session.replies.at(-1)?.more === false, 60_000);
    tookMs = performance.now() - startMs;
  });
  expect(seen).toSatisfy(isServed);
  // Without turns, other calls would be answered only after the whole message: on average after half of its time.
  expect(seen.p50Ms).toBeLessThan(0.35 * tookMs);
  session.drop();
});

it('a waiter that has lost its permissions gets no value and no lease', async () => {
  const holder = new Caller(replica.target, { token: 'checkout' });
  const [valued, leased] = ['published later', 'given back later'];
  const first = await holder.lease({ namespace, key: valued, leaseMs: 60_000 });
  const second = await holder.lease({ namespace, key: leased, leaseMs: 60_000 });
  const session = await SessionCaller.open(replica.target, {}, { token: 'search' });
  const unary = new Caller(replica.target, { token: 'search' });
  const waits = [valued, leased].flatMap((key) => [
    session
      .replyTo(session.get({ namespace, key, waitMs: 20_000 }))
      .then((it) => it.$case === 'error' && it.value.code),
    unary.getOrLock({ namespace, key, waitMs: 20_000 }).then(
      () => status.OK,
      (error) => error.code,
    ),
  ]);
  await until(async () => (await holder.explain({ namespace, key: leased })).waiters === 2);
  await until(async () => (await holder.explain({ namespace, key: valued })).waiters === 2);
  writeFileSync(file, BOUNDED.replace(sha256('search'), sha256('another')));
  replica.signal('SIGHUP');
  await until(async () => {
    const code = await unary.getOrLock({ namespace, key: 'any', waitMs: 0 }).then(
      () => status.OK,
      (error) => error.code,
    );
    return code === status.UNAUTHENTICATED;
  });
  const payload = { $case: 'value' as const, value: Buffer.from('not for it') };
  await holder.publish({ namespace, key: valued, token: first.token, payload, ttlMs: 60_000 });
  await holder.release({ namespace, key: leased, token: second.token });
  expect(new Set(await Promise.all(waits))).toEqual(new Set([status.UNAUTHENTICATED]));
  // Others can get the lease that was meant for one of the waiters.
  await holder.lease({ namespace, key: leased, waitMs: 10_000 });
  for (const one of [holder, unary]) one.close();
  session.drop();
});
