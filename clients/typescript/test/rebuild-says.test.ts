import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DibsClient } from '../src/client.js';
import { json } from '../src/codec.js';
import { DibsError, ReentrantRebuildError, UndecodableError } from '../src/errors.js';
import { PublishOutcome } from '../src/generated/dibs/v1/coordinator.js';
import type { RebuildContext } from '../src/options.js';
import { FakeService, hit, lease, published, RELEASED, Refusal, unavailable } from './fake-service.js';
import { bytes, deferred, raw } from './service.js';

// How a rebuild has its value stored, and what it does wrong.

const ttlMs = 60_000;
const hooks = { onNotStorable: vi.fn(), onUndecodable: vi.fn(), onBackgroundError: vi.fn() };
let fake: FakeService;
let client: DibsClient;

beforeEach(async () => {
  vi.clearAllMocks();
  fake = await FakeService.start();
  client = fake.client({ hooks });
  fake.will('getOrLock', lease('t'));
  fake.will('publish', published(PublishOutcome.PUBLISH_OUTCOME_STORED, true));
  fake.will('release', RELEASED);
});
afterEach(() => fake.stop());

describe('a rebuild', () => {
  const saying = (say: (context: RebuildContext) => void, value: Buffer | null = bytes('v')) =>
    client.getOrRebuild(
      'k',
      (context) => {
        say(context);
        return value;
      },
      { codec: raw, ttlMs, staleMs: 5, absentTtlMs: 77, tags: ['a'] },
    );

  it('decides how its value is stored, before the options of the call', async () => {
    await saying(({ storeWith }) => storeWith({ ttlMs: 1_000.2, staleMs: 0, tags: ['b'] }));
    expect(fake.requests('publish')).toMatchObject([{ ttlMs: 1_001, staleMs: 0, tags: ['b'] }]);
  });

  it('decides this for an absent value too, and leaves the other options to the call', async () => {
    await saying(({ storeWith }) => storeWith({ ttlMs: 1_000 }), null);
    await saying(() => {}, null);
    expect(fake.requests('publish')).toMatchObject([
      { ttlMs: 1_000, staleMs: 5, tags: ['a'] },
      { ttlMs: 77, staleMs: 5, tags: ['a'] },
    ]);
  });

  it('with doNotStore has its lease released without a failure', async () => {
    expect(String(await saying(({ doNotStore }) => doNotStore()))).toBe('v');
    expect(fake.requests('publish')).toEqual([]);
    expect(fake.requests('release')).toMatchObject([{ token: 't', failure: undefined }]);
  });

  it.each([
    ['a TTL of NaN', { ttlMs: Number.NaN }, /^ttlMs: NaN is outside/],
    ['a TTL beyond its bounds', { ttlMs: 1e300 }, /^ttlMs: 1e\+300 is outside/],
    ['a negative stale time', { staleMs: -1 }, /^staleMs: -1 is outside/],
    ['too many tags', { tags: Array.from({ length: 17 }, String) }, /^tags: 17 are more than 16/],
  ])('that sets %s still returns its value', async (_what, say, message) => {
    expect(String(await saying(({ storeWith }) => storeWith(say)))).toBe('v');
    expect(hooks.onNotStorable).toHaveBeenCalledWith(
      expect.objectContaining({
        key: 'k',
        error: expect.objectContaining({ message: expect.stringMatching(message) }),
      }),
    );
    expect(fake.requests('publish')).toEqual([]);
    expect(fake.requests('release')).toMatchObject([
      { failure: { message: expect.stringMatching(message) } },
    ]);
  });

  it('still returns a value that is too large, and the waiters get the reason', async () => {
    fake.will('publish', new Refusal(8, 'value: 1048577 bytes is outside 0 to 1048576'));
    expect(String(await saying(() => {}))).toBe('v');
    expect(fake.requests('release')).toMatchObject([
      { failure: { message: 'value: 1048577 bytes is outside 0 to 1048576' } },
    ]);
    expect(hooks.onNotStorable).toHaveBeenCalledTimes(1);
  });

  it('that returns undefined stores an absent value', async () => {
    expect(
      await client.getOrRebuild('k', () => new Map<string, Buffer>().get('none'), { codec: raw, ttlMs }),
    ).toBeNull();
    expect(fake.requests('publish')).toMatchObject([{ payload: { $case: 'absent' } }]);
  });

  it('can change its returned value while its publish is repeated', async () => {
    fake.will('publish', unavailable(1), published(PublishOutcome.PUBLISH_OUTCOME_STORED));
    const value = await saying(() => {});
    value?.fill('x');
    expect(await client.flush()).toBe(true);
    const sent = fake.requests('publish') as { payload: { value: Buffer } }[];
    expect(sent.map(({ payload }) => String(payload.value))).toEqual(['v', 'v']);
  });
});

describe('what a rebuild throws', () => {
  const get = () => {
    throw new Error('no text');
  };
  const unreadable = Object.defineProperties(new Error(), { message: { get }, retryAfterMs: { get } });

  it.each([
    ['an error that cannot be read', unreadable, /cannot be read/],
    ['a text', 'the roof is on fire', /^the roof is on fire$/],
    ['a number', 42, /^42$/],
    ['an object', { status: 503 }, /^\{"status":503\}$/],
    ['an object with a message', { message: 'full' }, /^full$/],
    ['an object without text', Object.create(null), /cannot be read|^\{\}$/],
    ['a symbol', Symbol('s'), /^Symbol\(s\)$/],
    ['nothing', undefined, /^undefined$/],
  ])('is thrown unchanged, and releases the lease: %s', async (_what, thrown, message) => {
    const failing = () => {
      throw thrown;
    };
    const error = await client.getOrRebuild('k', failing, { codec: raw, ttlMs }).catch((it: unknown) => it);
    expect(error).toBe(thrown);
    expect(fake.requests('release')).toMatchObject([
      { failure: { message: expect.stringMatching(message) } },
    ]);
  });

  it('is replaced by a stale value with staleIfError', async () => {
    fake.will('getOrLock', lease('t', 10_000, 'old'));
    const failing = () => Promise.reject(new Error('down'));
    const options = { codec: raw, ttlMs, revalidate: 'await' as const };
    await expect(client.getOrRebuild('k', failing, options)).rejects.toThrow('down');
    expect(String(await client.getOrRebuild('k', failing, { ...options, staleIfError: true }))).toBe('old');
    expect(hooks.onBackgroundError).toHaveBeenCalledTimes(1);
    expect(fake.requests('release')).toHaveLength(2);
  });

  it('is not affected by a hook that fails later', async () => {
    const late = fake.client({ hooks: { onPublish: async () => Promise.reject(new Error('a counter')) } });
    expect(String(await late.getOrRebuild('k', () => bytes('v'), { codec: raw, ttlMs }))).toBe('v');
  });
});

describe('a rebuild that asks for its own key', () => {
  const get = (key: string, rebuild: () => Promise<Buffer | null> | Buffer, options: object = {}) =>
    client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, ...options });

  it('fails at once, directly or through others', async () => {
    const own = get('a', () => get('a', () => bytes('v')));
    await expect(own).rejects.toBeInstanceOf(ReentrantRebuildError);
    await expect(own).rejects.toThrow('dibs: the rebuild of "a" asks for "a" itself');
    await expect(get('a', () => get('b', () => get('a', () => bytes('v'))))).rejects.toThrow('"a" itself');
    await expect(get('a', () => get('a', () => bytes('v'), { refresh: true }))).rejects.toThrow('"a" itself');
    // Each lease is released with the reason.
    expect(fake.requests('release')).toHaveLength(4);
  });

  it('is allowed for other keys, other namespaces and other clients', async () => {
    const other = fake.client();
    expect(String(await get('a', () => get('b', () => bytes('v'))))).toBe('v');
    expect(String(await get('a', () => get('a', () => bytes('v'), { namespace: 'other' })))).toBe('v');
    expect(
      String(await get('a', () => other.getOrRebuild('a', () => bytes('v'), { codec: raw, ttlMs }))),
    ).toBe('v');
  });

  it('does not forbid a later request by code that it started', async () => {
    const behind = deferred<Buffer | null>();
    const gate = deferred();
    await get('a', () => {
      void gate.promise.then(() => get('a', () => bytes('later'))).then(behind.resolve);
      return bytes('v');
    });
    gate.resolve();
    expect(String(await behind.promise)).toBe('later');
  });

  it('fails without the service too', async () => {
    fake.will('getOrLock', unavailable());
    await expect(get('a', () => get('a', () => bytes('v')))).rejects.toBeInstanceOf(ReentrantRebuildError);
  });
});

describe('a value that the codec cannot decode', () => {
  const codec = json<{ version: number }>();
  const read = () => client.getOrRebuild('k', () => ({ version: 2 }), { ttlMs, codec });

  it('is rebuilt once for all callers of this process, and calls the hook', async () => {
    fake.will('getOrLock', hit('<an older format>'), lease('t'));
    expect(await Promise.all([read(), read(), read()])).toEqual(
      Array.from({ length: 3 }, () => ({ version: 2 })),
    );
    expect(fake.requests('getOrLock').map(({ intent }) => intent)).toEqual([1, 3]);
    expect(hooks.onUndecodable).toHaveBeenCalledTimes(3);
    expect(fake.requests('publish')).toHaveLength(1);
  });

  it('is an error if the refresh returns another one', async () => {
    fake.will('getOrLock', hit('<an older format>'));
    const error = await read().catch((it: unknown) => it);
    expect(error).toBeInstanceOf(UndecodableError);
    expect(error).toMatchObject({ key: 'k', cause: expect.any(SyntaxError) });
    expect(fake.requests('getOrLock')).toHaveLength(2);
  });

  it('is an error at once if this process has just rebuilt it', async () => {
    const broken = { ...codec, encode: () => bytes('<no json>') };
    await expect(
      client.getOrRebuild('k', () => ({ version: 2 }), { ttlMs, codec: broken }),
    ).rejects.toBeInstanceOf(UndecodableError);
    expect(fake.requests('getOrLock')).toHaveLength(1);
  });
});

describe('a codec that returns no bytes', () => {
  it.each([['a text'], [undefined], [Promise.resolve(bytes('v'))]])(
    'fails its caller, and releases the lease: %s',
    async (made) => {
      fake.will('getOrLock', lease('t'));
      const codec = { ...json<string>(), encode: () => made as never };
      const call = client.getOrRebuild('k', () => 'v', { ttlMs, codec });
      await expect(call).rejects.toThrow("the codec's encode returned no bytes");
      await vi.waitFor(() => expect(fake.requests('release')).toHaveLength(1));
      expect(fake.requests('publish')).toEqual([]);
    },
  );
});

describe('an invalid option', () => {
  const never = vi.fn(() => bytes('never'));
  it.each([
    [{ ttlMs: Number.NaN }],
    [{ ttlMs: Number.POSITIVE_INFINITY }],
    [{ ttlMs: -1 }],
    [{ ttlMs: 0 }],
    [{ ttlMs: 31_536_000_001 }],
    [{ ttlMs: 1e300 }],
    [{ ttlMs: '60000' as never }],
    [{ staleMs: Number.NaN }],
    [{ staleMs: Number.NEGATIVE_INFINITY }],
    [{ absentTtlMs: 0 }],
    [{ waitMs: -0.5 }],
    [{ waitMs: Number.POSITIVE_INFINITY }],
    [{ leaseMs: Number.NaN }],
    [{ leaseMs: -1 }],
    [{ tags: [''] }],
    [{ tags: ['x'.repeat(257)] }],
    [{ tags: ['half \uD800'] }],
    [{ tags: 'a text' as never }],
    [{ tags: [7] as never }],
    [{ stale: 'perhaps' as never }],
    [{ read: 'far' as never }],
    [{ revalidate: 'never' as never }],
    [{ onUnavailable: 'cry' as never }],
  ])('is refused with its name before anything is sent: %s', async (wrong) => {
    const [name] = Object.keys(wrong);
    const error = await client
      .getOrRebuild('k', never, { codec: raw, ttlMs, ...wrong })
      .catch((it: unknown) => it);
    expect(error).toBeInstanceOf(DibsError);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(`^${name}: `) });
    expect(never).not.toHaveBeenCalled();
    expect(fake.heard).toEqual([]);
  });

  it('is not a fraction: it is rounded up to whole milliseconds', async () => {
    const options = { codec: raw, ttlMs: 0.5, staleMs: 1.5, waitMs: 10.5, leaseMs: 99.1 };
    expect(String(await client.getOrRebuild('k', () => bytes('v'), options))).toBe('v');
    expect(fake.requests('getOrLock')).toMatchObject([{ leaseMs: 100 }]);
    expect(fake.requests('publish')).toMatchObject([{ ttlMs: 1, staleMs: 2 }]);
  });

  it('is refused by the plain calls too, if the wire cannot carry it', async () => {
    const refused = { code: 'INVALID_ARGUMENT' };
    const value = { key: 'k', token: 't', value: null };
    await expect(client.publish({ ...value, ttlMs: Number.NaN })).rejects.toMatchObject(refused);
    await expect(client.publish({ ...value, ttlMs, staleMs: 1e300 })).rejects.toMatchObject(refused);
    await expect(client.getOrLock({ key: 'k', waitMs: Number.NaN })).rejects.toMatchObject(refused);
    await expect(client.extend({ key: 'k', token: 't', leaseMs: 1e300 })).rejects.toMatchObject(refused);
    const failure = { message: '', retryAfterMs: Number.NaN };
    await expect(client.release({ key: 'k', token: 't', failure })).rejects.toMatchObject(refused);
    await expect(client.explain({ key: 'k' }, { deadlineMs: Number.NaN })).rejects.toMatchObject(refused);
    await expect(client.getOrLock({ key: 'k', stale: 'perhaps' as never })).rejects.toMatchObject(refused);
    await expect(client.invalidate({ keys: 'k' as never })).rejects.toMatchObject(refused);
    await expect(client.invalidate({ keys: ['k'], mode: 'none' as never })).rejects.toMatchObject(refused);
    await expect(client.publish({ ...value, ttlMs, value: 'v' as never })).rejects.toMatchObject(refused);
    expect(fake.heard).toEqual([]);
    await client.publish({ ...value, ttlMs: 60_000.6 });
    expect(fake.requests('publish')).toMatchObject([{ ttlMs: 60_001 }]);
  });

  it('is refused by the constructor of the client', () => {
    expect(() => fake.client({ connectMs: Number.NaN })).toThrow('connectMs: NaN is outside');
    expect(() => fake.client({ leaseHoldMaxMs: 0 })).toThrow('leaseHoldMaxMs: 0 is outside');
  });
});

describe('an invalidation', () => {
  beforeEach(() => fake.will('invalidate', { keysInvalidated: 3, leasesVoided: 1 }));

  it('without keys or tags sends no call', async () => {
    expect(await client.invalidate({ keys: [] })).toEqual({ keysInvalidated: 0, leasesVoided: 0 });
    expect(await client.invalidate({})).toEqual({ keysInvalidated: 0, leasesVoided: 0 });
    expect(fake.heard).toEqual([]);
  });

  it('of any number of keys is split into as many calls as it needs', async () => {
    const keys = Array.from({ length: 2_001 }, (_, at) => `k${at}`);
    const tags = Array.from({ length: 17 }, (_, at) => `t${at}`);
    expect(await client.invalidate({ keys, tags })).toEqual({ keysInvalidated: 9, leasesVoided: 3 });
    const sent = fake.requests('invalidate') as { keys: string[]; tags: string[] }[];
    expect(sent.map((one) => [one.keys.length, one.tags.length])).toEqual([
      [1_000, 16],
      [1_000, 1],
      [1, 0],
    ]);
    expect(sent.flatMap((one) => one.keys)).toEqual(keys);
    expect(sent.flatMap((one) => one.tags)).toEqual(tags);
  });
});
