import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Dibs } from '../src/client.js';
import { json } from '../src/codec.js';
import { DibsBusyError, ReentrantRebuildError } from '../src/errors.js';
import type { RebuildContext } from '../src/options.js';
import { MemoryDibs } from '../src/testing.js';
import { bytes, deferred, freshKey, raw, Service } from './service.js';

/** A rebuild that runs until the gate opens. */
function held() {
  const [gate, started] = [deferred<Buffer>(), deferred()];
  const rebuild = () => {
    started.resolve();
    return gate.promise;
  };
  return { gate, started, rebuild };
}

// One suite for the client on a real service and for its double, so users can rely on the double in their tests.

let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service.stop());

describe.each<[string, () => Dibs]>([
  ['the client', () => service.client()],
  ['its double', () => new MemoryDibs()],
])('%s', (_name, make) => {
  const ttlMs = 60_000;
  const text = async (dibs: Dibs, key: string, value: string | null, over: object = {}) => {
    const rebuild = vi.fn(() => (value === null ? null : bytes(value)));
    const got = await dibs.getOrRebuild(key, rebuild, { codec: raw, ttlMs, ...over });
    return { got: got === null ? null : String(got), rebuilt: rebuild.mock.calls.length === 1 };
  };

  it('rebuilds once, and keeps an absent value too', async () => {
    const [dibs, key, none] = [make(), freshKey(), freshKey()];
    expect(await text(dibs, key, 'v1')).toEqual({ got: 'v1', rebuilt: true });
    expect(await text(dibs, key, 'v2')).toEqual({ got: 'v1', rebuilt: false });
    expect(await text(dibs, none, null)).toEqual({ got: null, rebuilt: true });
    expect(await text(dibs, none, 'v')).toEqual({ got: null, rebuilt: false });
    expect(await text(dibs, key, 'v3', { refresh: true })).toEqual({ got: 'v3', rebuilt: true });
  });

  it.each(['getOrRebuild', 'getOrRebuildMany', 'set'] as const)(
    'refuses a value without a TTL, by name and before the source is asked: %s',
    async (method) => {
      const [dibs, key, rebuild] = [make(), freshKey(), vi.fn(() => 'v')];
      const misspelt = { ttl: 1_000 } as never;
      const calls = {
        getOrRebuild: () => dibs.getOrRebuild(key, rebuild, misspelt),
        getOrRebuildMany: () => dibs.getOrRebuildMany([key], rebuild as never, misspelt),
        set: () => dibs.set(key, 'v', misspelt),
      };
      await expect(calls[method]()).rejects.toThrow('ttlMs: undefined is outside 1 to 31536000000');
      expect(rebuild).not.toHaveBeenCalled();
    },
  );

  it.each<[string, object]>([
    ['keys: is not a list', { keys: 'user:42' }],
    ['tags: is not a list', { tags: 'team' }],
    ['mode: stale is not one of delete, mark_stale', { keys: ['k'], mode: 'stale' }],
  ])('refuses an invalidation: %s', async (text, request) => {
    await expect(make().invalidate(request)).rejects.toThrow(text);
  });

  it('stores nothing for a caller that has left', async () => {
    const [dibs, key, reason] = [make(), freshKey(), new Error('left')];
    await expect(dibs.set(key, 'v', { ttlMs, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(await dibs.get(key)).toBeUndefined();
  });

  it("joins equal calls, and throws the rebuild's error", async () => {
    const [dibs, key] = [make(), freshKey()];
    const gate = deferred<Buffer>();
    const rebuild = vi.fn(() => gate.promise);
    const both = [0, 1].map(() => dibs.getOrRebuild(key, rebuild, { codec: raw, ttlMs }));
    gate.resolve(bytes('v'));
    expect((await Promise.all(both)).map(String)).toEqual(['v', 'v']);
    expect(rebuild).toHaveBeenCalledTimes(1);
    const down = () => Promise.reject(new Error('down'));
    await expect(dibs.getOrRebuild(freshKey(), down, { codec: raw, ttlMs })).rejects.toThrow('down');
  });

  it('serves a stale value, and rebuilds in the background', async () => {
    const [dibs, key] = [make(), freshKey()];
    await text(dibs, key, 'v1', { codec: raw, ttlMs: 1, staleMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 10));
    const previous: unknown[] = [];
    const rebuild = ({ previous: before }: { previous: unknown }) => {
      previous.push(String(before));
      return bytes('v2');
    };
    expect(String(await dibs.getOrRebuild(key, rebuild, { codec: raw, ttlMs }))).toBe('v1');
    await vi.waitFor(async () => expect((await text(dibs, key, 'v3')).got).toBe('v2'));
    expect(previous).toEqual(['v1']);
  });

  it('drops what is invalidated by key, by tag or as a whole', async () => {
    const [dibs, one, two] = [make(), freshKey(), freshKey()];
    await text(dibs, one, 'v1', { tags: ['t'] });
    await text(dibs, two, 'v1');
    expect(await dibs.invalidate({ tags: ['t'] })).toMatchObject({ keysInvalidated: 0 });
    expect((await text(dibs, one, 'v2')).rebuilt).toBe(true);
    expect((await text(dibs, two, 'v2')).rebuilt).toBe(false);
    expect(await dibs.invalidate({ keys: [two] })).toMatchObject({ keysInvalidated: 1 });
    expect((await text(dibs, two, 'v3')).rebuilt).toBe(true);
    await dibs.invalidate({ all: true });
    expect((await text(dibs, one, 'v4')).rebuilt).toBe(true);
  });

  it('does not store a result that is older than an invalidation', async () => {
    const [dibs, key] = [make(), freshKey()];
    const gate = deferred<Buffer>();
    const started = deferred();
    let runs = 0;
    const begun = dibs.getOrRebuild(
      key,
      () => {
        runs += 1;
        started.resolve();
        return runs === 1 ? gate.promise : bytes('new');
      },
      { codec: raw, ttlMs },
    );
    await started.promise;
    await dibs.invalidate({ keys: [key] });
    gate.resolve(bytes('old'));
    // A client that learns of it in time rebuilds again.
    expect(['old', 'new']).toContain(String(await begun));
    expect((await text(dibs, key, 'new')).got).toBe('new');
  });

  it('rebuilds for a refresh although a rebuild from before it runs', async () => {
    const [dibs, key] = [make(), freshKey()];
    const { gate, started, rebuild } = held();
    const before = dibs.getOrRebuild(key, rebuild, { codec: raw, ttlMs });
    await started.promise;
    const refresh = text(dibs, key, 'new', { refresh: true });
    gate.resolve(bytes('old'));
    expect(String(await before)).toBe('old');
    expect(await refresh).toEqual({ got: 'new', rebuilt: true });
  });

  it('leaves the source alone after a failure, until the key or everything is invalidated', async () => {
    const [dibs, key] = [make(), freshKey()];
    for (const what of [{ keys: [key] }, { all: true }]) {
      const down = () => Promise.reject(new Error('down'));
      await expect(dibs.getOrRebuild(key, down, { codec: raw, ttlMs })).rejects.toThrow('down');
      const failed = { name: 'RebuildFailedError', message: 'down' };
      await expect(text(dibs, key, 'v')).rejects.toMatchObject(failed);
      await dibs.invalidate(what);
      expect(await text(dibs, key, 'v')).toEqual({ got: 'v', rebuilt: true });
      await dibs.invalidate({ keys: [key] });
    }
  });

  it('waits for a running rebuild in a read only if it is told to', async () => {
    const [dibs, key] = [make(), freshKey()];
    const { gate, started, rebuild } = held();
    const first = dibs.getOrRebuild(key, rebuild, { codec: raw, ttlMs });
    await started.promise;
    expect(await dibs.get(key, { codec: raw })).toBeUndefined();
    expect(await dibs.get(key, { codec: raw, waitMs: 20 })).toBeUndefined();
    const read = dibs.get(key, { codec: raw, waitMs: 10_000 });
    gate.resolve(bytes('v'));
    expect([String(await first), String(await read)]).toEqual(['v', 'v']);
  });

  it('keeps to the wait of a caller that joins, and fails a rebuild that asks for its own key', async () => {
    const [dibs, key] = [make(), freshKey()];
    const gate = deferred<Buffer>();
    const started = deferred();
    const rebuild = () => {
      started.resolve();
      return gate.promise;
    };
    const first = dibs.getOrRebuild(key, rebuild, { codec: raw, ttlMs });
    await started.promise;
    await expect(dibs.getOrRebuild(key, rebuild, { codec: raw, ttlMs, waitMs: 0 })).rejects.toThrow(
      DibsBusyError,
    );
    gate.resolve(bytes('v'));
    expect(String(await first)).toBe('v');
    const own = freshKey();
    const asksItself = () => dibs.getOrRebuild(own, () => bytes('v'), { codec: raw, ttlMs });
    await expect(dibs.getOrRebuild(own, asksItself, { codec: raw, ttlMs })).rejects.toThrow(
      ReentrantRebuildError,
    );
  });

  it('stores as the rebuild decides, and undefined as an absent value', async () => {
    const [dibs, key, other, none] = [make(), freshKey(), freshKey(), freshKey()];
    const saying = (of: string, say: (context: RebuildContext) => void) =>
      dibs.getOrRebuild(of, (context) => (say(context) as undefined) ?? bytes('said'), {
        codec: raw,
        ttlMs,
        tags: ['call'],
      });
    await saying(key, ({ storeWith }) => storeWith({ tags: ['value'] }));
    await dibs.invalidate({ tags: ['call'] });
    expect((await text(dibs, key, 'v')).rebuilt).toBe(false);
    await dibs.invalidate({ tags: ['value'] });
    expect((await text(dibs, key, 'v')).rebuilt).toBe(true);
    await saying(other, ({ doNotStore }) => doNotStore());
    expect((await text(dibs, other, 'v')).rebuilt).toBe(true);
    expect(await dibs.getOrRebuild(none, () => undefined, { codec: raw, ttlMs })).toBeNull();
    await expect(
      dibs.getOrRebuild(none, () => bytes('v'), { codec: raw, ttlMs: Number.NaN }),
    ).rejects.toThrow(/^ttlMs: /);
  });

  it('encodes and decodes values with their codec', async () => {
    const [dibs, key] = [make(), freshKey()];
    const codec = json<{ at: string }>();
    expect(await dibs.getOrRebuild(key, () => ({ at: 'noon' }), { ttlMs, codec })).toEqual({ at: 'noon' });
    expect(await dibs.getOrRebuild(key, () => ({ at: 'never' }), { ttlMs, codec })).toEqual({ at: 'noon' });
  });
});

describe('the double', () => {
  it('expires values by the clock that it was given', async () => {
    let nowMs = 0;
    const dibs = new MemoryDibs(() => nowMs);
    const rebuild = vi.fn(() => bytes('v'));
    for (nowMs of [0, 99, 100]) await dibs.getOrRebuild('k', rebuild, { codec: raw, ttlMs: 100 });
    expect(rebuild).toHaveBeenCalledTimes(2);
  });

  it.each(['set', 'refresh'] as const)(
    'gives the failure of a rebuild from before it to a %s',
    async (how) => {
      const dibs = new MemoryDibs();
      const { gate, started, rebuild } = held();
      const before = dibs.getOrRebuild('k', rebuild, { codec: raw, ttlMs: 100 });
      await started.promise;
      const later =
        how === 'set'
          ? dibs.set('k', bytes('v'), { codec: raw, ttlMs: 100 })
          : dibs.getOrRebuild('k', () => bytes('v'), { codec: raw, ttlMs: 100, refresh: true });
      gate.reject(Object.assign(new Error('down'), { retryAfterMs: 60_000 }));
      await expect(before).rejects.toThrow('down');
      await expect(later).rejects.toMatchObject({ name: 'RebuildFailedError', message: 'down' });
      expect(await dibs.get('k')).toBeUndefined();
    },
  );

  it('serves a stale value during a back-off, without a rebuild', async () => {
    let nowMs = 0;
    const dibs = new MemoryDibs(() => nowMs);
    const options = { codec: raw, ttlMs: 100, staleMs: 10_000 };
    await dibs.getOrRebuild('k', () => bytes('old'), options);
    nowMs = 100;
    const down = vi.fn(() => Promise.reject(new Error('down')));
    for (let time = 0; time < 2; time += 1) {
      expect(String(await dibs.getOrRebuild('k', down, options))).toBe('old');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(down).toHaveBeenCalledTimes(1);
    nowMs = 1_100;
    expect(String(await dibs.getOrRebuild('k', () => bytes('new'), { ...options, stale: 'forbid' }))).toBe(
      'new',
    );
  });

  it('serves a marked value for its stale time from the first mark', async () => {
    let nowMs = 0;
    const dibs = new MemoryDibs(() => nowMs);
    const options = { codec: raw, ttlMs: 1_000, staleMs: 500 };
    await dibs.getOrRebuild('k', () => bytes('v'), options);
    const mark = () => dibs.invalidate({ keys: ['k'], mode: 'mark_stale' });
    nowMs = 100;
    await mark();
    nowMs = 599;
    await mark();
    expect(await dibs.get('k', options)).toEqual(bytes('v'));
    nowMs = 600;
    expect(await dibs.get('k', options)).toBeUndefined();
  });

  it('leaves a value stale that was marked by its tags, or with all, during its rebuild', async () => {
    for (const what of [{ tags: ['a'] }, { all: true }]) {
      let nowMs = 0;
      const dibs = new MemoryDibs(() => nowMs);
      const options = { codec: raw, ttlMs: 1_000, staleMs: 500, tags: ['a'] };
      const rebuild = async () => {
        await dibs.invalidate({ ...what, mode: 'mark_stale' });
        nowMs = 400;
        return bytes('v');
      };
      await dibs.getOrRebuild('k', rebuild, options);
      expect(await dibs.get('k', options)).toEqual(bytes('v'));
      expect(await dibs.get('k', { ...options, stale: 'forbid' })).toBeUndefined();
      nowMs = 500;
      expect(await dibs.get('k', options)).toBeUndefined();
    }
  });

  it('stores what was rebuilt while other tags were invalidated, unless a newer value is there', async () => {
    const dibs = new MemoryDibs();
    const options = { codec: raw, ttlMs: 1_000, tags: ['a'] };
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const old = dibs.getOrRebuild('k', () => gate.then(() => bytes('old')), options);
    const late = dibs.getOrRebuild('l', () => gate.then(() => bytes('late')), options);
    await dibs.invalidate({ tags: ['b'] });
    expect(await dibs.getOrRebuild('k', () => bytes('new'), options)).toEqual(bytes('new'));
    open();
    expect([await old, await late]).toEqual([bytes('old'), bytes('late')]);
    expect(await dibs.get('k', options)).toEqual(bytes('new'));
    expect(await dibs.get('l', options)).toEqual(bytes('late'));
  });

  it('marks values stale, and still serves them', async () => {
    const dibs = new MemoryDibs();
    const read = (value: string, over = {}) =>
      dibs
        .getOrRebuild('k', () => bytes(value), { codec: raw, ttlMs: 1_000, staleMs: 1_000, ...over })
        .then(String);
    await read('v1');
    await dibs.invalidate({ keys: ['k'], mode: 'mark_stale' });
    expect(await read('v2')).toBe('v1');
    await dibs.invalidate({ keys: ['k'], mode: 'mark_stale' });
    expect(await read('v3', { stale: 'forbid' })).toBe('v3');
    dibs.close();
    expect(await read('v4')).toBe('v4');
  });
});
