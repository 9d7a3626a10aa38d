import { afterAll, beforeAll, expect, test } from 'vitest';
import { namespaceKey, stampOrderKey } from '../../src/redis/keys.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { startRedisStore } from '../support/redis-store.js';

const STAMPS = 50;
const LONG_MS = 600_000;

/** What a replica of the previous release leaves and finds in the store. It reads and writes the same hash. */
describeWithRedis('a namespace that a replica of the previous release uses too', () => {
  let under: Awaited<ReturnType<typeof startRedisStore>>;
  beforeAll(async () => {
    under = await startRedisStore({ stampsMax: STAMPS });
  });
  afterAll(() => under.close());

  const redis = async (...args: string[]) => (await under.server.command(...args)).trim();
  const field = (name: string, of: string) => redis('HGET', namespaceKey(name), of);
  const invalidate = (name: string, tag: string, mode: 'delete' | 'mark_stale' = 'delete') =>
    under.namespaces.invalidate(name, { tags: [tag], all: false, mode });

  test('expires although the older replica set no expiry', async () => {
    await redis('HSET', namespaceKey('old'), 'id', 'an-id', 'clock', '7');
    const { clock, keptForMs } = await under.namespaces.read('old', []);
    expect(clock).toBe('an-id.7');
    expect(keptForMs).toBeGreaterThan(86_400_000);
    expect(Number(await redis('PTTL', namespaceKey('old')))).toBeGreaterThan(0);
    expect(await under.namespaces.begin('old', LONG_MS)).toEqual({ id: 'an-id', at: 7 });
  });

  test('counts as deleted for the older replica whenever a stamp is forgotten, but not for this one', async () => {
    await under.namespaces.begin('many', LONG_MS);
    for (let tag = 0; tag < STAMPS; tag++) await invalidate('many', `tag ${tag}`);
    expect(await field('many', 'deleted')).toBe('');
    const { at } = await invalidate('many', 'one more');
    expect(await field('many', 'deleted:tag 0')).toBe('');
    expect(await field('many', 'deleted')).toBe(`${at}`);
    const [whole, first] = (await under.namespaces.read('many', ['tag 0'])).stamps;
    expect(whole?.deletedAt).toBe(0);
    expect(first?.deletedAt).toBeGreaterThan(0);
    // If the older replica deletes the namespace, it stays deleted when more stamps are forgotten.
    await redis('HSET', namespaceKey('many'), 'clock', `${at + 1}`, 'deleted', `${at + 1}`);
    for (const tag of ['a', 'b']) await invalidate('many', tag);
    expect(await field('many', 'deleted')).toBe(`${at + 3}`);
    expect((await under.namespaces.read('many', [])).stamps[0]?.deletedAt).toBe(at + 1);
  });

  test('has the marks of both replicas, and the older one reads the last', async () => {
    const { at } = await under.namespaces.begin('marked', LONG_MS);
    for (let mark = 0; mark < 2; mark++) await invalidate('marked', 't', 'mark_stale');
    expect(await field('marked', 'stale:t')).toMatch(new RegExp(`^${at + 2}:\\d+$`));
    const nowUs = Date.now() * 1_000;
    await redis('HSET', namespaceKey('marked'), 'clock', `${at + 3}`, 'stale:t', `${at + 3}:${nowUs}`);
    await invalidate('marked', 't', 'mark_stale');
    const [, stamp] = (await under.namespaces.read('marked', ['t'])).stamps;
    expect(stamp?.marks.map((mark) => mark.at)).toEqual([at + 1, at + 2, at + 3, at + 4]);
  });

  test('is dropped as a whole if it has more stamps than their order has', async () => {
    const { id } = await under.namespaces.begin('disordered', LONG_MS);
    const stamps = Array.from({ length: 21_000 }, (_, tag) => [`deleted:tag ${tag}`, '1']).flat();
    for (let at = 0; at < stamps.length; at += 6_000)
      await redis('HSET', namespaceKey('disordered'), ...stamps.slice(at, at + 6_000));
    const clock = await invalidate('disordered', 'one more');
    expect(clock.id).toBe(id);
    const {
      stamps: [whole],
    } = await under.namespaces.read('disordered', []);
    expect(whole?.deletedAt).toBe(clock.at);
    expect(Number(await redis('HLEN', namespaceKey('disordered')))).toBeLessThan(10);
    expect(await redis('EXISTS', stampOrderKey('disordered'))).toBe('0');
    expect(Number(await redis('PTTL', namespaceKey('disordered')))).toBeGreaterThan(0);
  });
});
