import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Changes, Watch } from '../src/changes.js';
import { json } from '../src/codec.js';
import { DibsError, DibsManyError, ReentrantRebuildError } from '../src/errors.js';
import { NearCache } from '../src/near-cache.js';
import { SessionTransport } from '../src/session-transport.js';
import { hit } from './fake-service.js';
import { bytes, deferred, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;
const codec = json<string>();
let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service.stop());
afterEach(() => vi.restoreAllMocks());
const freshKeys = (count: number) => Array.from({ length: count }, freshKey);
const gone = () => new DibsError('UNAVAILABLE', 'gone');

describe('set', () => {
  it('fails at once for a key that the calling code rebuilds', async () => {
    const client = service.client();
    const key = freshKey();
    const within = client.getOrRebuild(
      key,
      () => client.set(key, bytes('v'), { codec: raw, ttlMs }) as never,
      { codec: raw, ttlMs },
    );
    await expect(within).rejects.toThrow(ReentrantRebuildError);
  });

  it('stores the value as it was when called, even if the caller changes it afterwards', async () => {
    const client = service.client();
    const key = freshKey();
    const value = bytes('as given');
    const setting = client.set(key, value, { codec: raw, ttlMs });
    value.fill(0);
    await setting;
    expect(String(await client.get(key, { codec: raw }))).toBe('as given');
  });

  it('repeats a publish that broke off, and reports a duplicate if it was already stored', async () => {
    const { client, link } = service.clientOverBadLink();
    const key = freshKey();
    link.failAfter('publish', gone());
    expect(await client.set(key, 'v', { ttlMs, codec })).toMatchObject({
      outcome: 'duplicate',
      stored: true,
    });
    expect(await client.get(key, { codec })).toBe('v');
  });

  it('releases its lease when it gives up', async () => {
    const { client, link } = service.clientOverBadLink();
    const key = freshKey();
    link.failBefore('publish', ...Array.from({ length: 10 }, gone));
    await expect(client.set(key, 'v', { ttlMs, codec })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await client.flush();
    expect((await client.explain(key)).lease).toBeUndefined();
  });

  it('ends what this process has kept of the key, also if the service is not reached', async () => {
    const { client, link } = service.clientOverBadLink();
    link.failBefore('getOrLock', ...Array.from({ length: 20 }, gone));
    const key = freshKey();
    const source = { value: 'old' };
    const read = () => client.getOrRebuild(key, () => source.value, { ttlMs, codec });
    expect(await read()).toBe('old');
    source.value = 'new';
    expect(await read()).toBe('old');
    await expect(client.set(key, 'new', { ttlMs, codec })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await read()).toBe('new');
  });

  it('refuses a value that is too large, and leaves neither a lease nor a failure', async () => {
    const client = service.client();
    const key = freshKey();
    const large = Buffer.alloc(1_048_577);
    await expect(client.set(key, large, { codec: raw, ttlMs })).rejects.toThrow('value: 1048577 bytes');
    await client.flush();
    const { lease, failed } = await client.explain({ key });
    expect([lease, failed]).toEqual([undefined, undefined]);
  });

  it('is seen by its own process at once, before its event arrives', async () => {
    const client = service.client({ nearCache: { maxBytes: 100_000 } });
    const key = freshKey();
    await client.set(key, 'old', { ttlMs, codec });
    await vi.waitFor(async () => {
      const asking = vi.spyOn(SessionTransport.prototype, 'askGetOrLock').mockClear();
      expect(await client.get(key, { codec })).toBe('old');
      expect(asking).not.toHaveBeenCalled();
    });
    const { changed } = Changes.prototype;
    vi.spyOn(Changes.prototype, 'changed').mockImplementation(function (this: Changes, change) {
      const isHeard = new Error().stack?.includes('session-transport');
      if (isHeard !== true) changed.call(this, change);
    });
    await client.set(key, 'new', { ttlMs, codec });
    expect(await client.get(key, { codec })).toBe('new');
  });

  it('keeps later callers from joining a request that was sent before it', async () => {
    const client = service.client({ nearCache: { maxBytes: 100_000 } });
    const key = freshKey();
    await client.set(key, 'old', { ttlMs, codec });
    const { askGetOrLock } = SessionTransport.prototype;
    const answered = deferred();
    const heldUp = deferred();
    const late: typeof askGetOrLock = function (this: SessionTransport, request, terms, tell, failed) {
      const hold: typeof tell = (response) => {
        answered.resolve();
        void heldUp.promise.then(() => tell(response));
      };
      askGetOrLock.call(this, request, terms, hold, failed);
    };
    vi.spyOn(SessionTransport.prototype, 'askGetOrLock').mockImplementationOnce(late);
    const before = client.getOrRebuild(key, () => 'rebuilt', { ttlMs, codec });
    await answered.promise;
    await client.set(key, 'new', { ttlMs, codec });
    const after = client.getOrRebuild(key, () => 'rebuilt', { ttlMs, codec });
    heldUp.resolve();
    expect([await before, await after]).toEqual(['old', 'new']);
  });
});

describe('get', () => {
  it('ends with its signal', async () => {
    const client = service.client();
    const reason = new Error('left');
    await expect(client.get(freshKey(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('refuses arguments outside their bounds', async () => {
    const client = service.client();
    await expect(client.get('k', { waitMs: -1 })).rejects.toThrow('waitMs: -1 is outside 0 to');
    await expect(client.get('k', { read: 'far' as never })).rejects.toThrow('read: far is not one of');
    await expect(client.get('k\ud800')).rejects.toThrow('key: is not well-formed text');
  });
});

describe('the longest wait', () => {
  it.each([true, false])('is no shorter one, with a session: %s', async (session) => {
    const client = service.client({ session, onUnavailable: 'fail' });
    expect(await client.getOrRebuild(freshKey(), () => 'v', { ttlMs, waitMs: 2_147_483_647 })).toBe('v');
    const asked = client.getOrLock({ key: freshKey() }, { deadlineMs: Number.POSITIVE_INFINITY });
    expect(await asked).toMatchObject({ kind: 'lease' });
  });
});

describe('explain', () => {
  it('shows what is cached, by the request or by the key alone', async () => {
    const client = service.client({ holder: 'me' });
    const key = freshKey();
    await client.getOrRebuild(key, () => bytes('12345'), {
      codec: raw,
      ttlMs: 60_000,
      staleMs: 1_000,
      tags: ['t'],
    });
    expect(await client.explain({ key })).toMatchObject({
      lease: undefined,
      value: { absent: false, freshness: 'fresh', sizeBytes: 5, tags: ['t'] },
      pastLeases: [{ holder: 'me', end: 'published' }],
      degraded: 'none',
    });
  });
});

describe('getOrRebuildMany', () => {
  it('takes an object, and ignores what it inherits', async () => {
    const client = service.client({ namespace: 'objects' });
    const keys = ['toString', 'b', 'a'];
    const values = await client.getOrRebuildMany(keys, () => ({ a: 'v' }), { ttlMs, codec });
    expect([...values]).toEqual([
      ['toString', null],
      ['b', null],
      ['a', 'v'],
    ]);
  });

  it('reports the value or the error of each key', async () => {
    const client = service.client();
    const [known, broken] = freshKeys(2) as [string, string];
    await client.set(known, 'v', { ttlMs, codec });
    const error = await client
      .getOrRebuildMany([known, broken], () => Promise.reject(new Error('down')), { ttlMs, codec })
      .catch((rejected) => rejected);
    expect(error).toBeInstanceOf(DibsManyError);
    expect([...error.values]).toEqual([[known, 'v']]);
    expect([...error.errors.keys()]).toEqual([broken]);
    expect(error.message).toBe(`1 of 2 keys failed; "${broken}": down`);
  });

  it('reports a value that cannot be encoded as an error of its key alone', async () => {
    const client = service.client();
    const [good, bad] = freshKeys(2) as [string, string];
    const rebuild = () =>
      new Map<string, unknown>([
        [good, 'v'],
        [bad, () => {}],
      ]);
    const error = await client
      .getOrRebuildMany([good, bad], rebuild, { ttlMs, codec: json() })
      .catch((rejected) => rejected);
    expect([...error.values]).toEqual([[good, 'v']]);
    expect(String(error.errors.get(bad))).toContain('value: a function has no form in JSON');
  });

  it.each([[['a']], ['text'], [undefined], [7]])('refuses %j in place of values by key', async (returned) => {
    const client = service.client();
    const key = freshKey();
    const error = await client
      .getOrRebuildMany([key], () => returned as never, { ttlMs, codec })
      .catch((rejected) => rejected);
    expect(String(error.errors.get(key))).toContain('return a Map or an object');
  });

  it('refuses a string in place of keys, and storeWith for a key that it does not rebuild', async () => {
    const client = service.client();
    await expect(client.getOrRebuildMany('abc', () => ({}), { codec: raw, ttlMs })).rejects.toThrow(
      'keys: is not a list',
    );
    const rebuild = (_keys: string[], { storeWith }: { storeWith(key: string, of: object): void }) => {
      storeWith('another', { ttlMs: 1 });
      return {};
    };
    const error = await client
      .getOrRebuildMany([freshKey()], rebuild, { codec: raw, ttlMs })
      .catch((rejected) => rejected);
    expect(error.message).toContain('"another" is not one of the keys of this rebuild');
  });

  it('gives the rebuild the previous values and the fences', async () => {
    const client = service.client();
    const [old, none] = freshKeys(2) as [string, string];
    await client.set(old, 'before', { ttlMs, codec });
    let told: [ReadonlyMap<string, unknown>, ReadonlyMap<string, number>] | undefined;
    const rebuild = (_keys: string[], context: { previous: Map<string, string | null>; fences: never }) => {
      told = [context.previous, context.fences];
      return { [old]: 'after', [none]: 'v' };
    };
    await client.getOrRebuildMany([old, none], rebuild as never, { ttlMs, codec, refresh: true });
    expect([...(told?.[0] ?? [])]).toEqual([[old, 'before']]);
    expect([...(told?.[1].values() ?? [])].every((fence) => fence > 0)).toBe(true);
  });

  it('fills the near cache, and does not ask for keys that are in it', async () => {
    const client = service.client({ nearCache: { maxBytes: 100_000 } });
    const keys = freshKeys(3);
    const rebuild = (asked: string[]) => new Map(asked.map((key) => [key, `of ${key}`]));
    await client.getOrRebuildMany(keys, rebuild, { ttlMs, codec });
    // The client's own publishes have dropped the values. This call fills the near cache.
    await vi.waitFor(async () => {
      await client.getOrRebuildMany(keys, rebuild, { ttlMs, codec });
      const asking = vi.spyOn(SessionTransport.prototype, 'getOrLockMany').mockClear();
      const values = await client.getOrRebuildMany(keys, rebuild, { ttlMs, codec });
      expect([...values.values()]).toEqual(keys.map((key) => `of ${key}`));
      expect(asking).not.toHaveBeenCalled();
    });
  });

  it('does not put a value in the near cache that changes while its answer is on the way', async () => {
    const watch = new Watch(() => {});
    watch.beat();
    const near = new NearCache({ maxBytes: 100_000 }, '');
    const asking = near.askMany('', ['a', 'b', 'a'], watch);
    near.changed({ namespace: '', keys: ['a'], tags: [], all: false });
    const response = hit('v');
    if (response.outcome?.$case === 'hit') response.outcome.value.freshForMs = ttlMs;
    for (const key of ['b', 'a']) asking.answered({ key, result: { $case: 'response', value: response } });
    asking.end();
    expect([near.get('', 'a'), String(near.get('', 'b'))]).toEqual([undefined, 'v']);
  });

  it("ends with its signal, and aborts the rebuild's signal", async () => {
    const client = service.client();
    const leave = new AbortController();
    const begun = deferred<AbortSignal>();
    const rebuild = (_keys: string[], { signal }: { signal: AbortSignal }) => {
      begun.resolve(signal);
      return new Promise<never>(() => {});
    };
    const many = client.getOrRebuildMany(freshKeys(2), rebuild, { codec: raw, ttlMs, signal: leave.signal });
    const signal = await begun.promise;
    const reason = new Error('left');
    leave.abort(reason);
    await expect(many).rejects.toBe(reason);
    expect(signal.reason).toBe(reason);
  });

  it('finishes the background rebuild of a stale value although its caller has left', async () => {
    const client = service.client();
    const [stale, missing] = freshKeys(2) as [string, string];
    await client.set(stale, 'old', { ttlMs, staleMs: ttlMs, codec });
    await client.invalidate({ keys: [stale], mode: 'mark_stale' });
    const leave = new AbortController();
    const gate = deferred();
    const begun = deferred<string[]>();
    const rebuild = async (keys: string[]) => {
      begun.resolve(keys);
      await gate.promise;
      return new Map(keys.map((key) => [key, 'new']));
    };
    const many = client.getOrRebuildMany([stale, missing], rebuild, { ttlMs, codec, signal: leave.signal });
    many.catch(() => {});
    expect((await begun.promise).sort()).toEqual([stale, missing].sort());
    leave.abort(new Error('left'));
    await expect(many).rejects.toThrow('left');
    gate.resolve();
    await client.flush();
    expect(await client.get(stale, { codec, read: 'store' })).toBe('new');
  });
});
