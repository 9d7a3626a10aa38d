import { type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type App, startApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';
import {
  Degraded,
  Freshness,
  InvalidateMode,
  LeaseEnd,
  PublishOutcome,
  Stale,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';

// Tags, GetOrLockMany and Explain, on one replica inside this process, over a real connection.

let app: App;
let caller: Caller;
let other: Caller;

beforeAll(async () => {
  app = await startApp(
    loadConfig({
      DIBS_LISTEN: '127.0.0.1:0',
      DIBS_HTTP_LISTEN: '127.0.0.1:0',
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

describe('tags', () => {
  const tagged = async (key: string, tags: string[], namespace = 'tagged') => {
    const { token } = await caller.lease({ namespace, key });
    await caller.publish({ namespace, key, token, payload: bytes(1), ttlMs: 60_000, staleMs: 60_000, tags });
  };
  const outcome = async (key: string, namespace = 'tagged') =>
    (await caller.getOrLock({ namespace, key, waitMs: 0, stale: Stale.STALE_ALLOW })).outcome;

  it('invalidate the values that have them, and no others, not even in another namespace', async () => {
    await tagged('both', ['a', 'b']);
    await tagged('other', ['c']);
    await tagged('both', ['a'], 'elsewhere');
    const answer = await caller.invalidate({ namespace: 'tagged', tags: ['b'] });
    expect(answer).toEqual({ keysInvalidated: 0, leasesVoided: 0 });
    expect((await outcome('both'))?.$case).toBe('lease');
    expect((await outcome('other'))?.$case).toBe('hit');
    expect((await outcome('both', 'elsewhere'))?.$case).toBe('hit');
  });

  it('mark stale', async () => {
    await tagged('marked', ['m']);
    await caller.invalidate({
      ...{ namespace: 'tagged', tags: ['m'], mode: InvalidateMode.INVALIDATE_MODE_MARK_STALE },
    });
    expect(await outcome('marked')).toMatchObject({
      $case: 'lease',
      value: { previous: { freshness: Freshness.FRESHNESS_STALE } },
    });
  });

  it('have bounds for their length and number', async () => {
    const publish = (tags: string[]) =>
      caller.publish({ key: 'tags', token: 't', payload: bytes(1), ttlMs: 1, tags });
    const many = (count: number) => Array.from({ length: count }, (_, at) => `tag ${at}`);
    expect(await failure(publish(['']))).toMatchObject({ details: 'tags[0]: 0 bytes is outside 1 to 256' });
    expect(await failure(publish(['x'.repeat(257)]))).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(await failure(publish(many(17)))).toMatchObject({ details: 'tags: 17 is outside 0 to 16' });
    expect(await failure(caller.invalidate({ tags: many(17) }))).toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    expect((await publish([...many(15), 'x'.repeat(256)])).outcome).toBe(
      PublishOutcome.PUBLISH_OUTCOME_UNKNOWN_LEASE,
    );
  });
});

describe('GetOrLockMany', () => {
  it('answers each of a thousand keys once: hits and leases first, then each wait as it ends', async () => {
    const { token } = await caller.lease({ key: 'many 7' });
    const keys = Array.from({ length: 1_000 }, (_, at) => `many ${at}`);
    const stream = other.getOrLockMany({ keys: [...keys, 'many 3'].slice(0, 1_000), waitMs: 20_000 });
    const order: string[] = [];
    for await (const { key, result } of stream) {
      if (result?.$case === 'response') order.push(`${key} ${result.value.outcome?.$case}`);
      // All immediate answers have come. Now the wait ends.
      if (order.length === 999) await caller.publishText('many 7', token, 'late');
    }
    expect(order).toHaveLength(1_000);
    expect(new Set(order).size).toBe(1_000);
    expect(order.at(-1)).toBe('many 7 hit');
    expect(order.filter((line) => line.endsWith(' lease'))).toHaveLength(999);
  });

  it('accepts 1 to 1,000 keys', async () => {
    const ended = async (keys: string[]) => {
      for await (const _answer of other.getOrLockMany({ keys })) expect.unreachable();
    };
    const keys = Array.from({ length: 1_001 }, (_, at) => `${at}`);
    expect(await failure(ended(keys))).toMatchObject({ details: 'keys: 1001 is outside 1 to 1000' });
    expect(await failure(ended([]))).toMatchObject({ details: 'keys: 0 is outside 1 to 1000' });
    expect(await failure(ended(['ok', '']))).toMatchObject({
      details: 'keys[1]: 0 bytes is outside 1 to 1024',
    });
  });
});

it('Explain shows lease, waiters and past leases of a key', async () => {
  const { fence } = await caller.lease({ key: 'explained', holder: 'pod-1' });
  const waiting = other.getOrLock({ key: 'explained', waitMs: 10_000 });
  await expect.poll(async () => (await caller.explain({ key: 'explained' })).waiters).toBe(1);
  const said = await caller.explain({ key: 'explained' });
  expect(said).toMatchObject({
    ...{ lease: { holder: 'pod-1', fence }, fence, pastLeases: [], degraded: Degraded.DEGRADED_NONE },
  });
  expect(said.value).toBeUndefined();
  await caller.invalidate({ keys: ['explained'] });
  expect((await caller.explain({ key: 'explained' })).pastLeases).toMatchObject([
    { holder: 'pod-1', end: LeaseEnd.LEASE_END_INVALIDATED },
  ]);
  expect((await waiting).outcome?.$case).toBe('lease');
});
