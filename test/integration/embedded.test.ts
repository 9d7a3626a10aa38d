import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type App, startApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';
import {
  BusyReason,
  CoordinatorServiceClient,
  Degraded,
  ExtendOutcome,
  Freshness,
  GetOrLockRequest,
  Intent,
  InvalidateMode,
  LeaseReason,
  PublishOutcome,
  ReleaseOutcome,
  Stale,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { waitersOf } from '../support/waiters.js';

// One embedded replica inside this process, called over a real connection.

const VALUE_BYTES_MAX = 10_000;
let app: App;
let caller: Caller;
let other: Caller;

beforeAll(async () => {
  app = await startApp(
    loadConfig({
      DIBS_LISTEN: '127.0.0.1:0',
      DIBS_HTTP_LISTEN: '127.0.0.1:0',
      DIBS_VALUE_MAX_BYTES: String(VALUE_BYTES_MAX),
      DIBS_LOG_LEVEL: 'warn',
    }),
  );
  const [target = ''] = app.grpcAddresses;
  [caller, other] = [new Caller(target), new Caller(target)];
  await Promise.all([caller.connect(), other.connect()]);
});
afterAll(async () => {
  caller.close();
  other.close();
  await app.stop();
});

/** Returns the status of a call that must fail. */
async function failure(
  call: Promise<unknown>,
): Promise<{ code: number; details: string; pushback: unknown }> {
  try {
    expect.unreachable(`the call was answered: ${JSON.stringify(await call)}`);
  } catch (error) {
    const { code, details, metadata } = error as ServiceError;
    return { code, details, pushback: metadata?.get('grpc-retry-pushback-ms')[0] };
  }
}

const bytes = (size: number) => ({ $case: 'value', value: Buffer.alloc(size, 'v') }) as const;
const waiters = () => waitersOf(`http://${app.httpAddress}`);

describe('one key from miss to hit', () => {
  it('gives a lease, lets others wait, and gives them the published value', async () => {
    const lease = await caller.lease({ key: 'round', leaseMs: 50_000 });
    expect(lease).toMatchObject({ reason: LeaseReason.LEASE_REASON_MISS, previous: undefined });
    expect(lease.token).toMatch(/^[\x21-\x7e]{1,128}$/);
    expect(lease.expiresInMs).toBeGreaterThan(40_000);
    expect(lease.expiresInMs).toBeLessThan(50_000);

    const busy = await other.getOrLock({ key: 'round', waitMs: 0 });
    expect(busy.outcome).toMatchObject({
      $case: 'busy',
      value: { reason: BusyReason.BUSY_REASON_WAIT_ENDED },
    });
    const waiting = other.getOrLock({ key: 'round' });
    await expect.poll(waiters).toBe(1);
    const extended = await caller.extend({ key: 'round', token: lease.token, leaseMs: 60_000 });
    expect(extended.outcome).toBe(ExtendOutcome.EXTEND_OUTCOME_EXTENDED);

    const published = await caller.publishText('round', lease.token, 'fresh');
    expect(published).toMatchObject({ outcome: PublishOutcome.PUBLISH_OUTCOME_STORED, fence: lease.fence });
    const answer = await waiting;
    expect(textOf(answer)).toBe('fresh');
    expect(answer.degraded).toBe(Degraded.DEGRADED_NONE);
    expect(answer.outcome).toMatchObject({
      value: { freshness: Freshness.FRESHNESS_FRESH, fence: lease.fence, rebuilding: false },
    });
    expect(await caller.publishText('round', lease.token, 'fresh')).toMatchObject({
      outcome: PublishOutcome.PUBLISH_OUTCOME_DUPLICATE,
    });
    await expect.poll(waiters).toBe(0);
  });

  it('distinguishes an absent value from an empty one', async () => {
    const nothing = await caller.lease({ key: 'nothing' });
    await caller.publish({
      key: 'nothing',
      token: nothing.token,
      payload: { $case: 'absent', value: true },
      ttlMs: 1e5,
    });
    const empty = await caller.lease({ key: 'empty' });
    await caller.publish({ key: 'empty', token: empty.token, payload: bytes(0), ttlMs: 100_000 });
    const payloadOf = async (key: string) => (await other.getOrLock({ key })).outcome;
    expect(await payloadOf('nothing')).toMatchObject({
      value: { payload: { $case: 'absent', value: true } },
    });
    expect(await payloadOf('empty')).toMatchObject({ value: { payload: { $case: 'value' } } });
    expect(textOf(await other.getOrLock({ key: 'empty' }))).toBe('');
  });

  it('reports a failure, and leaves the source alone during the back-off', async () => {
    const lease = await caller.lease({ key: 'failing' });
    const waiting = other.getOrLock({ key: 'failing' });
    await expect.poll(waiters).toBe(1);
    const failed = { message: 'the source is down', retryAfterMs: 60_000 };
    const released = await caller.release({ key: 'failing', token: lease.token, failure: failed });
    expect(released.outcome).toBe(ReleaseOutcome.RELEASE_OUTCOME_RELEASED);
    for (const answer of [await waiting, await caller.getOrLock({ key: 'failing' })]) {
      expect(answer.outcome).toMatchObject({ $case: 'failed', value: { message: failed.message } });
    }
    expect(await caller.release({ key: 'failing', token: lease.token })).toEqual({
      outcome: ReleaseOutcome.RELEASE_OUTCOME_NOT_HELD,
    });
  });

  it('serves stale or waits, reads or refreshes, as requested', async () => {
    const first = await caller.lease({ key: 'intents' });
    const payload = bytes(1);
    await caller.publish({ key: 'intents', token: first.token, payload, ttlMs: 60_000, staleMs: 60_000 });
    const refresh = await caller.lease({ key: 'intents', intent: Intent.INTENT_REFRESH });
    expect(refresh).toMatchObject({ reason: LeaseReason.LEASE_REASON_REFRESH, fence: expect.any(Number) });
    expect(refresh.fence).toBeGreaterThan(first.fence);
    await caller.release({ key: 'intents', token: refresh.token });

    await caller.invalidate({ keys: ['intents'], mode: InvalidateMode.INVALIDATE_MODE_MARK_STALE });
    const read = { key: 'intents', intent: Intent.INTENT_READ, waitMs: 0 };
    expect((await other.getOrLock(read)).outcome).toMatchObject({
      $case: 'hit',
      value: { freshness: Freshness.FRESHNESS_STALE, freshForMs: 0 },
    });
    expect((await other.getOrLock({ ...read, stale: Stale.STALE_FORBID })).outcome).toMatchObject({
      $case: 'busy',
      value: { reason: BusyReason.BUSY_REASON_NO_VALUE },
    });
    const rebuild = await other.lease({ key: 'intents', stale: Stale.STALE_FORBID });
    expect(rebuild.previous).toBeUndefined();
  });

  it('refuses a publish and an extend after an invalidation', async () => {
    const lease = await caller.lease({ key: 'overtaken' });
    expect(await other.invalidate({ keys: ['overtaken', 'overtaken', 'unknown'] })).toEqual({
      keysInvalidated: 0,
      leasesVoided: 1,
    });
    const publish = await caller.publishText('overtaken', lease.token, 'old');
    expect(publish.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_INVALIDATED);
    expect((await caller.extend({ key: 'overtaken', token: lease.token })).outcome).toBe(
      ExtendOutcome.EXTEND_OUTCOME_LOST,
    );
  });
});

describe('keys and values', () => {
  it.each([
    'ünïcödé 😀',
    'with spaces',
    '{braces}{a}',
    'line\nbreak\r\n\ttab',
    'zero\0byte',
    '\uFEFFbyte order mark',
    'a:b/c%2Fd?e=f&g#h*[i]\\',
    '€'.repeat(341),
    'k'.repeat(1024),
  ])('can be %j', async (key) => {
    const lease = await caller.lease({ key });
    await caller.publishText(key, lease.token, `of ${key}`);
    expect(textOf(await other.getOrLock({ key }))).toBe(`of ${key}`);
  });

  it('of two namespaces are separate', async () => {
    const lease = await caller.lease({ namespace: 'one', key: 'same' });
    await caller.lease({ namespace: 'two', key: 'same' });
    const elsewhere = await caller.publish({
      namespace: 'two',
      key: 'same',
      token: lease.token,
      payload: bytes(1),
      ttlMs: 1,
    });
    expect(elsewhere.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_UNKNOWN_LEASE);
  });

  it('can be as large as the bound and no larger', async () => {
    const { token } = await caller.lease({ key: 'large' });
    const publish = (size: number) =>
      caller.publish({ key: 'large', token, payload: bytes(size), ttlMs: 60_000 });
    expect(await failure(publish(VALUE_BYTES_MAX + 1))).toEqual({
      code: status.RESOURCE_EXHAUSTED,
      details: `value: ${VALUE_BYTES_MAX + 1} bytes is outside 0 to ${VALUE_BYTES_MAX} (DIBS_VALUE_MAX_BYTES)`,
      pushback: '-1',
    });
    expect((await failure(publish(4_000_000))).code).toBe(status.RESOURCE_EXHAUSTED);
    expect((await publish(VALUE_BYTES_MAX)).outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
    expect(textOf(await other.getOrLock({ key: 'large' }))).toHaveLength(VALUE_BYTES_MAX);
  });

  it('can be a thousand in one call', async () => {
    const keys = Array.from({ length: 1000 }, (_, at) => `${at}`.padStart(1024, 'k'));
    expect(await caller.invalidate({ keys })).toEqual({ keysInvalidated: 0, leasesVoided: 0 });
    const { code, details } = await failure(caller.invalidate({ keys: [...keys, 'one more'] }));
    expect(code).toBe(status.INVALID_ARGUMENT);
    expect(details).toBe('keys: 1001 is outside 0 to 1000');
  });
});

it('a garbage token holds nothing', async () => {
  for (const token of ['', 'garbage', 'x'.repeat(10_000), '\0{}\n']) {
    const at = { key: 'garbage', token };
    const published = await caller.publish({ ...at, payload: bytes(1), ttlMs: 1 });
    expect(published).toMatchObject({ outcome: PublishOutcome.PUBLISH_OUTCOME_UNKNOWN_LEASE, fence: 0 });
    expect(await caller.release(at)).toEqual({ outcome: ReleaseOutcome.RELEASE_OUTCOME_NOT_HELD });
    expect(await caller.extend(at)).toEqual({ outcome: ExtendOutcome.EXTEND_OUTCOME_LOST, expiresInMs: 0 });
  }
});

describe('a caller that leaves', () => {
  const stub = (target = app.grpcAddresses[0] ?? '') =>
    new CoordinatorServiceClient(target, credentials.createInsecure());
  const ask = (client: CoordinatorServiceClient, key: string, deadline: number) =>
    new Promise<unknown>((resolve) => {
      client.getOrLock(
        GetOrLockRequest.fromPartial({ key }),
        new Metadata(),
        { deadline },
        (error, response) => resolve(error ?? response),
      );
    });

  it('gets Busy before its deadline', async () => {
    await caller.lease({ key: 'deadline', leaseMs: 60_000 });
    const client = stub();
    // The answer comes 50 ms before the deadline, which a busy machine may take for itself.
    await expect
      .poll(() => ask(client, 'deadline', Date.now() + 500))
      .toMatchObject({ outcome: { $case: 'busy', value: { reason: BusyReason.BUSY_REASON_WAIT_ENDED } } });
    client.close();
    await expect.poll(waiters).toBe(0);
  });

  it('leaves at once when it cancels', async () => {
    await caller.lease({ key: 'cancel' });
    const client = stub();
    const call = client.getOrLock(GetOrLockRequest.fromPartial({ key: 'cancel' }), () => {});
    await expect.poll(waiters).toBe(1);
    call.cancel();
    await expect.poll(waiters).toBe(0);
    client.close();
  });

  it('never takes the lease for which a later caller waits', async () => {
    const lease = await caller.lease({ key: 'left', leaseMs: 60_000 });
    const client = stub();
    for (let gone = 0; gone < 20; gone += 1) {
      const call = client.getOrLock(GetOrLockRequest.fromPartial({ key: 'left' }), () => {});
      await expect.poll(waiters).toBe(1);
      call.cancel();
      await expect.poll(waiters).toBe(0);
    }
    const waiting = other.lease({ key: 'left' });
    await expect.poll(waiters).toBe(1);
    await caller.release({ key: 'left', token: lease.token });
    expect((await waiting).reason).toBe(LeaseReason.LEASE_REASON_HOLDER_LOST);
    client.close();
  });

  it('leaves with all others of its connection when that breaks', async () => {
    await caller.lease({ key: 'broken', leaseMs: 60_000 });
    const port = Number(app.grpcAddresses[0]?.split(':')[1]);
    const sockets: Socket[] = [];
    const relay = createServer((socket) => {
      const onward = connect(port, '127.0.0.1');
      for (const each of [socket, onward]) each.on('error', () => {});
      socket.pipe(onward).pipe(socket);
      sockets.push(socket, onward);
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const client = stub(`127.0.0.1:${(relay.address() as AddressInfo).port}`);
    const calls = Array.from({ length: 200 }, () => ask(client, 'broken', Number.POSITIVE_INFINITY));
    await expect.poll(waiters).toBe(200);
    relay.close();
    for (const socket of sockets) socket.destroy();
    await expect.poll(waiters).toBe(0);
    client.close();
    const answers = await Promise.all(calls);
    expect(answers.every((answer) => answer instanceof Error)).toBe(true);
  });
});
