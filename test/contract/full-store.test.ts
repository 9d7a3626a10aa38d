import { afterAll, beforeAll, expect, test } from 'vitest';
import { namespaceKey, recordKey } from '../../src/redis/keys.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { startRedisStore } from '../support/redis-store.js';
import { StoreTrial } from '../support/store-trial.js';

const LONG_MS = 600_000;

describeWithRedis('a store that is full and evicts nothing', () => {
  let under: Awaited<ReturnType<typeof startRedisStore>>;
  let full: StoreTrial;
  let ahead: StoreTrial;
  beforeAll(async () => {
    under = await startRedisStore();
    full = new StoreTrial(under);
    for (const namespace of ['tags', 'all', 'marked']) await under.namespaces.begin(namespace, LONG_MS);
    await under.namespaces.invalidate('all', { tags: ['before'], all: false, mode: 'mark_stale' });
    await full.stored('n');
    // Written before the server's clock was set back by an hour.
    const laterUs = (Date.now() + 3_600_000) * 1_000;
    ahead = full.another();
    await ahead.arm('ahead');
    await under.server.command('HSET', recordKey(ahead.id), 'armed_at', `${laterUs}`);
    await under.namespaces.begin('ahead', LONG_MS);
    await under.server.command('HSET', namespaceKey('ahead'), 'clock', '2', 'stale:a', `2:${laterUs}`);
    await under.server.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await under.server.command('CONFIG', 'SET', 'maxmemory', '1');
  });
  afterAll(() => under.close());

  const at = async (namespace: string, tags: string[]) =>
    (await under.namespaces.read(namespace, tags)).stamps;

  test('refuses what needs memory: a lease, and the clock of a namespace', async () => {
    await expect(full.another().arm('m')).rejects.toThrow('the store cannot serve');
    await expect(under.namespaces.begin('new', LONG_MS)).rejects.toThrow('the store cannot serve');
  });

  test('serves reads, and deletes a value', async () => {
    expect((await full.read()).value).toBeDefined();
    expect((await full.invalidate('delete')).hadValue).toBe(true);
  });

  test('reads what was written before its clock was set back, and ends it', async () => {
    expect((await ahead.read()).lease?.expiresInMs).toBeLessThanOrEqual(0);
    expect((await at('ahead', ['a']))[1]).toEqual({ deletedAt: 2, marks: [] });
  });

  test.each([
    ['tags', { tags: ['a', 'b'], all: false, mode: 'delete' }],
    ['all', { tags: [], all: true, mode: 'delete' }],
    ['marked', { tags: ['a'], all: false, mode: 'mark_stale' }],
    ['marked', { tags: [], all: true, mode: 'mark_stale' }],
    ['unknown', { tags: ['a'], all: false, mode: 'delete' }],
  ] as const)('invalidates in the namespace %s: %j', async (namespace, request) => {
    const clock = await under.namespaces.invalidate(namespace, request);
    const [whole, ...tags] = await at(namespace, [...request.tags]);
    for (const stamp of request.all ? [whole] : tags) {
      if (request.mode === 'delete') expect(stamp?.deletedAt).toBe(clock.at);
      else expect(stamp?.marks.at(-1)?.at).toBe(clock.at);
    }
  });
});
