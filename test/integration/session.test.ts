import { type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type App, startApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';
import {
  BusyReason,
  ExtendRequest,
  GetOrLockManyRequest,
  GetOrLockRequest,
  InvalidateRequest,
  LeaseEnd,
  PublishOutcome,
  PublishRequest,
  ReleaseRequest,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { inRounds } from '../support/rounds.js';
import { runningMs } from '../support/running-ms.js';
import { SessionCaller } from '../support/session-caller.js';
import { until } from '../support/until.js';
import { waitersOf } from '../support/waiters.js';

// Sessions with one replica inside this process, over a real connection.

let app: App;
let target: string;
let caller: Caller;
const open: SessionCaller[] = [];

async function start(env: Record<string, string> = {}): Promise<App> {
  const listen = { DIBS_LISTEN: '127.0.0.1:0', DIBS_HTTP_LISTEN: '127.0.0.1:0' };
  return startApp(loadConfig({ ...listen, DIBS_LOG_LEVEL: 'error', ...env }));
}

async function session(hello = {}, at = target): Promise<SessionCaller> {
  const one = await SessionCaller.open(at, hello);
  open.push(one);
  return one;
}

beforeAll(async () => {
  app = await start();
  target = app.grpcAddresses[0] ?? '';
  caller = new Caller(target);
});
afterEach(() => {
  for (const one of open.splice(0)) one.drop();
});
afterAll(async () => {
  caller.close();
  await app.stop();
});

let keys = 0;
const fresh = () => {
  keys += 1;
  return `session ${keys}`;
};
const publish = (key: string, token: string, text: string) =>
  ({
    $case: 'publish',
    value: PublishRequest.fromPartial({
      ...{ key, token, ttlMs: 60_000, payload: { $case: 'value', value: Buffer.from(text) } },
    }),
  }) as const;

describe('a session', () => {
  it('carries all calls, many in one message, with replies in any order', async () => {
    const one = await session({ holder: 'the session' });
    const key = fresh();
    const { token, fence } = await one.lease({ key });
    const waiting = one.get({ key, waitMs: 20_000 });
    const extended = one.ask({ $case: 'extend', value: ExtendRequest.fromPartial({ key, token }) });
    const explained = one.ask({ $case: 'explain', value: { namespace: '', key } });
    expect(await one.replyTo(extended)).toMatchObject({ $case: 'extend' });
    expect(await one.replyTo(explained)).toMatchObject({
      value: { lease: { holder: 'the session', fence } },
    });
    expect(one.replies.some(({ id }) => id === waiting)).toBe(false);
    const published = one.ask(publish(key, token, 'v'));
    expect(await one.replyTo(published)).toMatchObject({
      value: { outcome: PublishOutcome.PUBLISH_OUTCOME_STORED },
    });
    expect(await one.replyTo(waiting)).toMatchObject({ value: { outcome: { $case: 'hit' } } });
    const other = fresh();
    const second = await one.lease({ key: other });
    const released = one.ask({
      ...{ $case: 'release', value: ReleaseRequest.fromPartial({ key: other, token: second.token }) },
    });
    expect(await one.replyTo(released)).toMatchObject({ $case: 'release' });
    const voided = one.ask({ $case: 'invalidate', value: InvalidateRequest.fromPartial({ keys: [key] }) });
    expect(await one.replyTo(voided)).toMatchObject({ value: { keysInvalidated: 1 } });
  });

  it('answers calls that came together in few messages', async () => {
    const one = await session();
    const key = fresh();
    const { token } = await one.lease({ key });
    await one.replyTo(one.ask(publish(key, token, 'v')));
    const before = one.messages.length;
    const calls = Array.from({ length: 500 }, () =>
      one.callOf({ $case: 'getOrLock', value: GetOrLockRequest.fromPartial({ key }) }),
    );
    one.send({ calls });
    await one.replyTo(calls.at(-1)?.id ?? 0);
    await until(() => calls.every(({ id }) => one.replies.some((reply) => reply.id === id)));
    expect(one.messages.length - before).toBeLessThanOrEqual(5);
  });

  it('asks for many keys, with one reply per key', async () => {
    const one = await session();
    const names = [fresh(), fresh(), fresh()];
    const value = GetOrLockManyRequest.fromPartial({ keys: names });
    const id = one.ask({ $case: 'getOrLockMany', value });
    await one.replyTo(id);
    const replies = one.replies.filter((reply) => reply.id === id);
    expect(replies.map(({ more }) => more)).toEqual([true, true, false]);
    const seen = replies.map(({ response }) => response?.$case === 'getOrLockMany' && response.value.key);
    expect(seen.sort()).toEqual(names.sort());
  });

  it('reports the fault of one call, and answers the others', async () => {
    const one = await session();
    const bad = one.get({ key: '' });
    const none = one.callOf({ $case: 'explain', value: { namespace: '', key: 'k' } });
    one.send({ calls: [{ ...none, request: undefined }] });
    const negative = one.get({ key: 'k' }, { deadlineMs: -1 });
    const good = one.get({ key: fresh() });
    const invalid = (message: string) => ({
      ...{ $case: 'error', value: { code: status.INVALID_ARGUMENT, message } },
    });
    expect(await one.replyTo(bad)).toMatchObject(invalid('key: 0 bytes is outside 1 to 1024'));
    expect(await one.replyTo(none.id)).toMatchObject(invalid('request: not set; set exactly one'));
    expect(await one.replyTo(negative)).toMatchObject(invalid('deadline_ms: is below 0'));
    expect(await one.replyTo(good)).toMatchObject({ $case: 'getOrLock' });
  });

  it('keeps the deadline of each call', async () => {
    const one = await session();
    const key = fresh();
    await one.lease({ key });
    const waiting = one.replyTo(one.get({ key, waitMs: 20_000 }, { deadlineMs: 300 }));
    expect(await runningMs(() => waiting)).toBeLessThan(1_000);
    expect(await waiting).toMatchObject({
      value: { outcome: { $case: 'busy', value: { reason: BusyReason.BUSY_REASON_WAIT_ENDED } } },
    });
  });

  it('accepts a call and its cancellation in one message', async () => {
    const one = await session();
    const key = fresh();
    const call = one.callOf({ $case: 'getOrLock', value: GetOrLockRequest.fromPartial({ key }) });
    one.send({ calls: [call], cancelledIds: [call.id] });
    await one.replyTo(one.get({ key: fresh() }));
    await until(async () => (await caller.explain({ key })).lease === undefined);
    expect(one.replies.map(({ id }) => id)).not.toContain(call.id);
  });

  it('ends a cancelled call, and does not answer it', async () => {
    const one = await session();
    const key = fresh();
    const { token } = await one.lease({ key });
    const waiting = one.get({ key, waitMs: 20_000 });
    await until(async () => (await waitersOf(`http://${app.httpAddress}`)) === 1);
    one.send({ cancelledIds: [waiting, 999_999] });
    await until(async () => (await waitersOf(`http://${app.httpAddress}`)) === 0);
    await one.replyTo(one.ask(publish(key, token, 'v')));
    expect(one.replies.some(({ id }) => id === waiting)).toBe(false);
  });
});

describe('a message that breaks the rules of a session', () => {
  const refused = async (
    send: (one: SessionCaller) => void,
    details: string | RegExp,
    hello: object | null = {},
  ) => {
    const one = hello === null ? new SessionCaller(target) : await session(hello);
    if (hello === null) open.push(one);
    send(one);
    await until(() => one.ended !== undefined);
    const { code, details: said } = one.ended as ServiceError;
    expect([code, said]).toEqual([status.INVALID_ARGUMENT, expect.stringMatching(details)]);
  };

  it('ends the session with the reason', async () => {
    const get = (id: number) => ({
      ...{ id, deadlineMs: undefined, traceparent: '' },
      request: { $case: 'getOrLock', value: GetOrLockRequest.fromPartial({ key: 'open' }) } as const,
    });
    await caller.getOrLock({ key: 'open' });
    await refused((one) => one.send({ calls: [get(1)] }), /^hello: not set/, null);
    await refused((one) => one.hello(), /^hello: set again/);
    await refused((one) => one.send({ calls: [get(0)] }), /^calls\[0\]\.id: 0 is not above 0/);
    await refused((one) => one.send({ calls: [get(7), get(7)] }), /^calls\[1\]\.id: 7 is already used/);
    await refused((one) => one.hello({ holder: 'x'.repeat(257) }), /^hello\.holder: 257 bytes/, null);
    const watchedNamespaces = Array.from({ length: 65 }, (_, at) => `n${at}`);
    await refused(
      (one) => one.hello({ watchedNamespaces }),
      /^hello\.watched_namespaces: 65 is outside 0 to 64/,
      null,
    );
  });
});

describe('leases of a session', () => {
  it.each(['an end', 'a break'])('end with it, after %s, and go to the next caller', async (how) => {
    const one = await session();
    const key = fresh();
    await one.lease({ key, leaseMs: 20_000 });
    const next = caller.getOrLock({ key, waitMs: 10_000 });
    await until(async () => (await waitersOf(`http://${app.httpAddress}`)) === 1);
    how === 'an end' ? one.stream.end() : one.drop();
    expect(await runningMs(() => next)).toBeLessThan(500);
    expect((await next).outcome?.$case).toBe('lease');
    expect((await caller.explain({ key })).pastLeases).toMatchObject([
      { end: LeaseEnd.LEASE_END_SESSION_LOST },
    ]);
  });

  it('are reported when they are lost', async () => {
    const one = await session();
    const key = fresh();
    const { token } = await one.lease({ key });
    await caller.invalidate({ keys: [key] });
    await until(() => one.events.length > 0);
    expect(one.events).toMatchObject([
      { event: { $case: 'leaseLost', value: { key, token, end: LeaseEnd.LEASE_END_INVALIDATED } } },
    ]);
  });

  it('are not reported when their holder ends them', async () => {
    const one = await session();
    const key = fresh();
    const { token } = await one.lease({ key });
    await one.replyTo(one.ask(publish(key, token, 'v')));
    await caller.invalidate({ keys: [key] });
    const other = fresh();
    await one.lease({ key: other });
    expect(one.events).toEqual([]);
  });

  it('outlast a broken stream by the grace period, and belong to the client that resumes it', () =>
    inRounds([400, 4_000], async (graceMs) => {
      const graceful = await start({ DIBS_SESSION_GRACE_MS: `${graceMs}` });
      const [at = ''] = graceful.grpcAddresses;
      const outside = new Caller(at);
      try {
        const one = await session({}, at);
        expect(one.welcome).toMatchObject({ resumed: false, graceMs });
        const key = fresh();
        const { token } = await one.lease({ key, leaseMs: 60_000 });
        one.drop();
        await new Promise((resolve) => setTimeout(resolve, graceMs / 2));
        const { resumeToken } = one.welcome;
        const again = await session({ resumeToken }, at);
        expect(again.welcome).toMatchObject({ resumed: true, resumeToken });
        await new Promise((resolve) => setTimeout(resolve, graceMs));
        expect((await outside.getOrLock({ key, waitMs: 0 })).outcome?.$case).toBe('busy');
        again.drop();
        const droppedMs = performance.now();
        const next = await outside.getOrLock({ key, waitMs: 20_000 });
        expect(next.outcome?.$case).toBe('lease');
        expect(performance.now() - droppedMs).toBeGreaterThanOrEqual(graceMs - 50);
        const late = await outside.publishText(key, token, 'late');
        expect(late.outcome).not.toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
        expect((await session({ resumeToken }, at)).welcome.resumed).toBe(false);
      } finally {
        outside.close();
        await graceful.stop();
      }
    }));
});

describe('the events of a session', () => {
  it('report which keys of its namespaces have changed', async () => {
    const one = await session({ watchedNamespaces: ['watched', ''] });
    const key = fresh();
    const lease = await caller.lease({ key });
    await caller.publishText(key, lease.token, 'v');
    await caller.invalidate({ namespace: 'watched', keys: ['k'] });
    await caller.invalidate({ namespace: 'elsewhere', keys: ['k'] });
    await caller.invalidate({ namespace: 'watched', tags: ['t'] });
    await until(() => one.events.length >= 3);
    expect(one.events.map(({ event }) => event?.value)).toEqual([
      { namespace: 'default', keys: [key], tags: [], all: false },
      { namespace: 'watched', keys: ['k'], tags: [], all: false },
      { namespace: 'watched', keys: [], tags: ['t'], all: false },
    ]);
  });

  it('are a beat every second if it watches a namespace', async () => {
    const [watching, blind] = [await session({ watchedNamespaces: ['watched'] }), await session()];
    await until(() => watching.beats >= 2);
    expect([blind.beats, watching.events]).toEqual([0, []]);
  });

  it('report that its replica stops: open calls are answered, and leases stay', async () => {
    const stopping = await start();
    const [at = ''] = stopping.grpcAddresses;
    const one = await session({}, at);
    const key = fresh();
    await one.lease({ key });
    const waiting = one.get({ key, waitMs: 20_000 });
    await until(async () => (await waitersOf(`http://${stopping.httpAddress}`)) === 1);
    const stopped = stopping.stop();
    expect(await one.replyTo(waiting)).toMatchObject({
      value: { outcome: { $case: 'busy', value: { reason: BusyReason.BUSY_REASON_DRAINING } } },
    });
    await stopped;
    expect(one.events.map(({ event }) => event?.$case)).toEqual(['draining']);
    await until(() => one.ended !== undefined);
    expect(one.ended).toBe('end');
  });

  it('report that its replica stops: calls sent before this arrives are answered too', async () => {
    const stopping = await start();
    const [at = ''] = stopping.grpcAddresses;
    const [late, gone] = [await session({}, at), await session({}, at)];
    const key = fresh();
    const { token } = await late.lease({ key });
    await late.replyTo(late.ask(publish(key, token, 'known')));
    const stopped = stopping.stop();
    await until(() => late.events.length > 0 && gone.events.length > 0);
    expect(await late.replyTo(late.get({ key }))).toMatchObject({ value: { outcome: { $case: 'hit' } } });
    // When both clients have ended their streams, the replica stops waiting.
    gone.stream.end();
    late.stream.end();
    expect(await runningMs(() => stopped)).toBeLessThan(2_000);
    expect([late.ended, gone.ended]).toEqual(['end', 'end']);
  });
});

it('a client that does not read delays no other, and gets everything at last', async () => {
  const slow = await session();
  const key = fresh();
  const { token } = await slow.lease({ key });
  const value = Buffer.alloc(200_000, 'x');
  await caller.publish({ key, token, payload: { $case: 'value', value }, ttlMs: 60_000 });
  slow.stream.pause();
  const ids = Array.from({ length: 300 }, () => slow.get({ key }));
  const tookMs = await runningMs(async () => {
    for (let at = 0; at < 20; at += 1) expect(textOf(await caller.getOrLock({ key }))).toHaveLength(200_000);
  });
  expect(tookMs).toBeLessThan(5_000);
  slow.stream.resume();
  await Promise.all(ids.map((id) => slow.replyTo(id)));
});
