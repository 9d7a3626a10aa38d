import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  type MockInstance,
  vi,
} from 'vitest';
import { Watch } from '../src/changes.js';
import { DibsClient } from '../src/client.js';
import { Flights } from '../src/flights.js';
import { Freshness, type GetOrLockResponse } from '../src/generated/dibs/v1/coordinator.js';
import { NearCache } from '../src/near-cache.js';
import { SessionTransport } from '../src/session-transport.js';
import { bytes, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;
const hit = (text: string | null, freshForMs = ttlMs, tags?: string[]): GetOrLockResponse => ({
  degraded: 1,
  outcome: {
    $case: 'hit',
    value: {
      payload: text === null ? { $case: 'absent', value: true } : { $case: 'value', value: bytes(text) },
      freshness: Freshness.FRESHNESS_FRESH,
      freshForMs,
      fence: 1,
      rebuilding: false,
      tags: tags && { names: tags },
    },
  },
});
const changed = (keys: string[], over: { tags?: string[]; all?: boolean } = {}) => ({
  ...{ namespace: 'default', keys, tags: [], all: false },
  ...over,
});

/** The watch of a session that has just begun. */
function liveWatch() {
  const watch = new Watch(() => {});
  watch.beat();
  return watch;
}

describe('a near cache', () => {
  const watch = liveWatch();
  beforeEach(() => void watch.beat());
  const near = (maxBytes = 100_000) => new NearCache({ maxBytes }, '');
  const fill = (cache: NearCache, key: string, response = hit('v'), meanwhile = () => {}) => {
    const asking = cache.ask('', key, watch);
    meanwhile();
    if (asking !== undefined) cache.answered(asking, response);
    return cache.get('', key)?.toString();
  };

  it('never mistakes one key for another, whatever characters it has', () => {
    const cache = new NearCache({ maxBytes: 100_000, namespaces: ['', 'other'] }, '');
    const named: [string, string][] = [
      ['', 'a'],
      ['other', 'a'],
      ['', '\0other\0a'],
      ['', 'other\0a'],
      ['other', '\0other\0a'],
      ['', '\0'],
      ['', ''],
    ];
    for (const [namespace, key] of named) {
      const asking = cache.ask(namespace, key, watch);
      if (asking !== undefined) cache.answered(asking, hit(JSON.stringify([namespace, key])));
    }
    for (const [namespace, key] of named) {
      expect(cache.get(namespace, key)?.toString()).toBe(JSON.stringify([namespace, key]));
    }
  });

  it('keeps fresh values and absent ones, and nothing else', () => {
    const cache = near();
    expect(fill(cache, 'a')).toBe('v');
    expect(cache.get('default', 'a')?.toString()).toBe('v');
    fill(cache, 'b', hit(null));
    expect(cache.get('', 'b')).toBeNull();
    expect(fill(cache, 'c', hit('stale', 0))).toBeUndefined();
    expect(
      fill(cache, 'd', {
        degraded: 1,
        outcome: { $case: 'failed', value: { message: '', retryAfterMs: 1 } },
      }),
    ).toBeUndefined();
    expect(fill(cache, 'e', { degraded: 1, outcome: undefined })).toBeUndefined();
  });

  it('keeps no answer if a change arrived after its request', () => {
    const cache = near();
    expect(fill(cache, 'a', hit('v'), () => cache.changed(changed(['b', 'a'])))).toBeUndefined();
    expect(fill(cache, 'a', hit('v'), () => cache.changed(changed([], { all: true })))).toBeUndefined();
    expect(fill(cache, 'a', hit('v'), () => cache.changed(changed([], { tags: ['t'] })))).toBeUndefined();
    expect(fill(cache, 'a', hit('v'), () => cache.missed())).toBeUndefined();
    expect(fill(cache, 'a', hit('v'), () => cache.changed(changed(['b'])))).toBe('v');
    const other = { ...changed([], { all: true }), namespace: 'other' };
    expect(fill(cache, 'c', hit('v'), () => cache.changed(other))).toBe('v');
  });

  it('drops changed values', () => {
    const cache = near();
    for (const key of ['a', 'b', 'c']) fill(cache, key);
    cache.changed(changed(['a']));
    expect(['a', 'b'].map((key) => cache.get('', key) !== undefined)).toEqual([false, true]);
    cache.changed(changed([], { tags: ['any'] }));
    expect(cache.get('', 'b')).toBeUndefined();
    expect(fill(cache, 'b')).toBe('v');
    cache.missed();
    expect(cache.get('', 'b')).toBeUndefined();
  });

  it('drops by tag only values that have the tag, or may have it', () => {
    const cache = near();
    fill(cache, 'tagged', hit('v', ttlMs, ['a', 'b']));
    fill(cache, 'other', hit('v', ttlMs, ['c']));
    fill(cache, 'bare', hit('v', ttlMs, []));
    fill(cache, 'unknown', hit('v'));
    const known = () => ['tagged', 'other', 'bare', 'unknown'].filter((key) => cache.get('', key));
    cache.changed(changed([], { tags: ['b', 'x'] }));
    expect(known()).toEqual(['other', 'bare']);
    cache.changed(changed([], { all: true }));
    expect(known()).toEqual([]);
  });

  it('keeps no answer if a change of one of its tags arrived after its request', () => {
    const cache = near();
    const overtaken = (key: string, tags: string[]) => () => cache.changed(changed([key], { tags }));
    expect(fill(cache, 'a', hit('v', ttlMs, ['t']), overtaken('x', ['t']))).toBeUndefined();
    expect(fill(cache, 'a', hit('v', ttlMs, ['t']), overtaken('x', ['u']))).toBe('v');
    expect(fill(cache, 'b', hit('v', ttlMs, ['t']), overtaken('b', []))).toBeUndefined();
    // Changes that it has forgotten may concern any value.
    const many = Array.from({ length: 10_001 }, (_, at) => `tag ${at}`);
    expect(fill(cache, 'c', hit('v', ttlMs, ['u']), overtaken('x', many))).toBeUndefined();
    expect(fill(cache, 'c', hit('v', ttlMs, ['tag 7']))).toBe('v');
  });

  it('serves nothing if no beat has arrived for a while', () => {
    vi.useFakeTimers();
    const cache = near();
    const told = liveWatch();
    const ask = () => cache.ask('', 'a', told) as never;
    cache.answered(ask(), hit('v'));
    vi.advanceTimersByTime(2_999);
    expect(cache.get('', 'a')?.toString()).toBe('v');
    expect(told.beat()).toBe(false);
    vi.advanceTimersByTime(2_999);
    expect(cache.get('', 'a')?.toString()).toBe('v');
    vi.advanceTimersByTime(1);
    expect(cache.get('', 'a')).toBeUndefined();
    // Changes that are still unread may be older than a beat that came this late.
    expect(told.beat()).toBe(true);
    vi.useRealTimers();
  });

  it('takes a late welcome for a late beat', () => {
    vi.useFakeTimers();
    for (const afterMs of [2_999, 3_000]) {
      const watch = new Watch(() => {});
      vi.advanceTimersByTime(afterMs);
      expect(watch.beat()).toBe(afterMs === 3_000);
    }
    vi.useRealTimers();
  });

  it('keeps its values while the service is away, if that is configured', () => {
    const cache = new NearCache({ maxBytes: 100_000 }, '', true);
    for (const key of ['a', 'b', 'c']) fill(cache, key, hit('v', ttlMs, [key]));
    cache.missed();
    expect(cache.get('', 'a')).toBeUndefined();
    expect(cache.left('', 'a')?.toString()).toBe('v');
    cache.changed(changed(['a'], { tags: ['b'] }));
    expect(['a', 'b', 'c'].filter((key) => cache.left('', key))).toEqual(['c']);
    cache.began();
    expect(cache.left('', 'c')).toBeUndefined();
    const other = near();
    fill(other, 'a');
    other.missed();
    expect(other.left('', 'a')).toBeUndefined();
  });

  it('keeps other namespaces out, and stays within its bytes', () => {
    const cache = new NearCache({ maxBytes: 10_000, namespaces: ['', 'default', 'mine'] }, 'ignored');
    expect(cache.namespaces).toEqual(['default', 'mine']);
    expect(cache.ask('ignored', 'a', watch)).toBeUndefined();
    for (let at = 0; at < 100; at += 1) fill(cache, `${at}`, hit('v'.repeat(1_000)));
    const kept = Array.from({ length: 100 }, (_, at) => cache.get('', `${at}`)).filter(
      (it) => it !== undefined,
    );
    expect(kept.length).toBeGreaterThan(5);
    expect(kept.length).toBeLessThan(10);
    expect(fill(cache, 'large', hit('v'.repeat(20_000)))).toBeUndefined();
  });

  it('refuses bounds that make no sense', () => {
    for (const maxBytes of [0, -1, 1.5, Number.NaN])
      expect(() => near(maxBytes)).toThrow('nearCache.maxBytes');
    const namespaces = Array.from({ length: 65 }, (_, at) => `${at}`);
    expect(() => new NearCache({ maxBytes: 1, namespaces }, '')).toThrow(
      'nearCache.namespaces: 65 are more than 64',
    );
    expect(new NearCache({ maxBytes: 1, namespaces: namespaces.slice(1) }, '').namespaces).toHaveLength(64);
  });
});

describe('a client with a near cache', () => {
  let service: Service;
  let asked: MockInstance;
  const nearCache = { maxBytes: 1_000_000 };
  beforeAll(async () => {
    service = await Service.start();
  });
  afterAll(() => service.stop());
  beforeEach(() => {
    asked = vi.spyOn(SessionTransport.prototype, 'askGetOrLock');
  });
  afterEach(() => asked.mockRestore());

  /** Returns a client that has the value of a key in its near cache. */
  async function having(text: string, tags: string[] = []) {
    const client = service.client({ nearCache });
    const key = freshKey();
    await service.client().getOrRebuild(key, () => bytes(text), { codec: raw, ttlMs, tags });
    await client.getOrRebuild(key, () => bytes('never'), { codec: raw, ttlMs });
    asked.mockClear();
    expect(String(await client.getOrRebuild(key, () => bytes('never'), { codec: raw, ttlMs }))).toBe(text);
    expect(asked).not.toHaveBeenCalled();
    const read = async () =>
      String(await client.getOrRebuild(key, () => bytes('new'), { codec: raw, ttlMs }));
    return { client, key, read };
  }

  it('asks once, and again only for reads of the store', async () => {
    const onHit = vi.fn();
    const client = service.client({ nearCache, hooks: { onHit } });
    const key = freshKey();
    await service.client().getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs });
    for (let at = 0; at < 5; at += 1)
      await client.getOrRebuild(key, () => bytes('never'), { codec: raw, ttlMs });
    expect(asked).toHaveBeenCalledTimes(2);
    expect(onHit).toHaveBeenCalledTimes(5);
    await client.getOrRebuild(key, () => bytes('never'), { codec: raw, ttlMs, read: 'store' });
    expect(asked).toHaveBeenCalledTimes(3);
    expect(
      String(await client.getOrRebuild(key, () => bytes('anew'), { codec: raw, ttlMs, refresh: true })),
    ).toBe('anew');
    const leave = AbortSignal.abort(new Error('gone'));
    await expect(
      client.getOrRebuild(key, () => bytes('x'), { codec: raw, ttlMs, signal: leave }),
    ).rejects.toThrow('gone');
  });

  it.each([
    ['a key', (key: string) => ({ keys: [key] })],
    ['a tag', () => ({ tags: ['t'] })],
    ['everything', () => ({ all: true })],
  ])('drops values that another client invalidates by %s', async (_what, by) => {
    const { key, read } = await having('old', ['t']);
    await service.client().invalidate(by(key));
    await vi.waitFor(async () => expect(await read()).toBe('new'));
  });

  it('drops a value when another client publishes a new one', async () => {
    const { key, read } = await having('old');
    await service.client().getOrRebuild(key, () => bytes('other'), { codec: raw, ttlMs, refresh: true });
    await vi.waitFor(async () => expect(await read()).toBe('other'));
  });

  it.each([
    ['a key', (key: string) => ({ keys: [key] })],
    ['a tag', () => ({ tags: ['t'] })],
    ['everything', () => ({ all: true })],
  ])('reads a value again at once after its own invalidation by %s', async (_what, by) => {
    const { client, key, read } = await having('old', ['t']);
    await client.invalidate(by(key));
    expect(await read()).toBe('new');
  });

  it('keeps no answer to a request that was sent before its own invalidation', async () => {
    const { client, key } = await having('old');
    await service.client().invalidate({ keys: [key] });
    await vi.waitFor(async () =>
      expect((await client.getOrLock({ key, intent: 'read', waitMs: 0 })).kind).toBe('busy'),
    );
    await service.client().getOrRebuild(key, () => bytes('then'), { codec: raw, ttlMs });
    const asking = client.getOrLock({ key });
    await client.invalidate({ keys: [key] }).catch(() => {});
    await asking;
    expect(String(await client.getOrRebuild(key, () => bytes('new'), { codec: raw, ttlMs }))).toBe('new');
  });

  it('gives each caller its own bytes', async () => {
    const { key, client } = await having('old');
    (await client.getOrRebuild(key, () => bytes('never'), { codec: raw, ttlMs }))?.fill('x');
    expect(String(await client.getOrRebuild(key, () => bytes('never'), { codec: raw, ttlMs }))).toBe('old');
  });

  it('joins no call that was sent before its session began', async () => {
    const client = service.client({ nearCache });
    const closed = vi.spyOn(Flights.prototype, 'began');
    await client.ready();
    expect(closed).toHaveBeenCalledTimes(1);
    closed.mockRestore();
  });

  it('joins calls under way while changes are reported, and none has arrived', async () => {
    const client = service.client({ nearCache });
    const other = service.client();
    const [key, lock] = [freshKey(), await other.getOrLock({ key: 'unused' })];
    expect(lock.kind).toBe('lease');
    const held = await other.getOrLock({ key });
    const token = held.kind === 'lease' ? held.token : '';
    await client.ready();
    asked.mockClear();
    const read = () => client.getOrRebuild(key, () => bytes('own'), { codec: raw, ttlMs });
    const first = read();
    await vi.waitFor(async () => expect((await other.explain({ key })).waiters).toBe(1));
    const second = read();
    expect(asked).toHaveBeenCalledTimes(1);
    await client.invalidate({ tags: ['any'] });
    const third = read();
    expect(asked).toHaveBeenCalledTimes(2);
    await other.publish({ key, token, value: bytes('v'), ttlMs });
    expect(String(await first)).toBe(String(await second));
    await third;
  });

  it('forgets everything when its session breaks', async () => {
    const other = await Service.start();
    const client = new DibsClient({ target: other.target, nearCache });
    const key = freshKey();
    const read = () => client.getOrRebuild(key, () => bytes('local'), { codec: raw, ttlMs });
    await other.client().getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs });
    for (let at = 0; at < 2; at += 1) expect(String(await read())).toBe('v');
    await other.stop();
    await vi.waitFor(async () => expect(String(await read())).toBe('local'));
    client.close();
  });
});
