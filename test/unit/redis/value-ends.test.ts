import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { recordKey } from '../../../src/redis/keys.js';
import { ValueEnds } from '../../../src/redis/value-ends.js';
import { forgetScript } from '../../../src/redis/value-scripts.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { startRedisStore } from '../../support/redis-store.js';
import { ABSENT, LONG_MS, SHORT_MS, StoreTrial } from '../../support/store-trial.js';

describe('the end of a large value', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('comes a second after it may no longer be served', async () => {
    const forgotten: unknown[] = [];
    const ends = new ValueEnds(async (...what) => forgotten.push(what) - forgotten.length);
    ends.stored('a', 5, 2_000);
    await vi.advanceTimersByTimeAsync(2_999);
    expect(forgotten).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(forgotten).toEqual([['a', 5]]);
    expect(ends.size).toBe(0);
  });

  it('belongs to the last value of its key', async () => {
    const forgotten: unknown[] = [];
    const ends = new ValueEnds(async (...what) => forgotten.push(what) - forgotten.length);
    ends.stored('a', 5, 1_000);
    ends.stored('a', 6, 9_000);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(forgotten).toEqual([['a', 6]]);
  });

  it('is requested again if the store has more time left, but not if it does not answer', async () => {
    const left = [500, 0];
    const asked: string[] = [];
    const ends = new ValueEnds(async (id) => {
      asked.push(id);
      if (id === 'b') throw new Error('no store');
      return left.shift() ?? 0;
    });
    ends.stored('a', 5, 1_000);
    ends.stored('b', 5, 1_000);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(asked).toEqual(['a', 'b', 'a']);
  });

  it('is not awaited beyond 24 days, or for more than 100,000 values', () => {
    const ends = new ValueEnds(async () => 0);
    ends.stored('a', 5, 2 ** 31 - 1_001);
    ends.stored('b', 5, 2 ** 31 - 1_000);
    expect(ends.size).toBe(1);
    for (let at = 0; at < 100_000; at += 1) ends.stored(`id ${at}`, 5, 1_000);
    expect(ends.size).toBe(100_000);
  });
});

describeWithRedis('an expired value on Redis', () => {
  it('is removed from the store only if it has expired and is still the stored one', async () => {
    const under = await startRedisStore();
    const redis = new Redis(under.server.url);
    try {
      const trial = new StoreTrial(under);
      const forget = (fence: number) => forgetScript.run(redis, { record: recordKey(trial.id) }, { fence });
      const stored = () =>
        redis.hmget(recordKey(trial.id), 'value', 'published_at', 'servable_until', 'tags');
      const long = await trial.stored('n1', { tags: ['a'] });
      expect(await forget(long)).toBeGreaterThan(LONG_MS * 500);
      expect((await stored()).every((field) => field !== null)).toBe(true);
      const fence = await trial.stored('n2', { ttlMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect(await forget(long)).toBe(0);
      expect((await stored()).every((field) => field !== null)).toBe(true);
      expect(await forget(fence)).toBe(0);
      expect(await stored()).toEqual([null, null, null, null]);
      expect(await trial.read()).toMatchObject({ fence, valueFence: fence, lastEnd: 'published' });
      expect((await trial.stored('n3', { payload: ABSENT })) > fence).toBe(true);
    } finally {
      redis.disconnect();
      await under.close();
    }
  });

  it('is removed by the replica if it is large', async () => {
    const under = await startRedisStore();
    const redis = new Redis(under.server.url);
    try {
      const [large, small] = [new StoreTrial(under), new StoreTrial(under)];
      const payloadOf = (bytes: number) => ({ kind: 'value', bytes: Buffer.alloc(bytes) }) as const;
      await large.stored('n', { payload: payloadOf(16_384), ttlMs: 50 });
      await small.stored('n', { payload: payloadOf(16_383), ttlMs: 50 });
      const has = (trial: StoreTrial) => redis.hexists(recordKey(trial.id), 'value');
      await vi.waitFor(async () => expect(await has(large)).toBe(0), { timeout: 20_000, interval: 100 });
      expect(await has(small)).toBe(1);
      expect(await redis.exists(recordKey(large.id))).toBe(1);
    } finally {
      redis.disconnect();
      await under.close();
    }
  });
});
