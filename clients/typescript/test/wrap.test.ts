import { type Cache, createCache } from 'cache-manager';
import { Keyv } from 'keyv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Wrap, wrapOf } from '../src/wrap.js';
import { freshKey, Service } from './service.js';

// `wrapOf` compared with the `wrap` of cache-manager, which it replaces.

let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service?.stop());

const pause = (ms: number) => new Promise<void>((over) => setTimeout(over, ms));
const TTL_MS = 60_000;

/** A source that counts its calls. */
function counted<T>(...values: T[]) {
  let calls = 0;
  const source = async () => values[Math.min(calls++, values.length - 1)] as T;
  return Object.assign(source, { calls: () => calls });
}

describe.each<[string, () => Wrap]>([
  ['cache-manager', () => createCache({ ttl: TTL_MS }).wrap],
  ['Dibs', () => wrapOf(service.client(), { ttl: TTL_MS })],
])('wrap of %s', (_, wrapOfOne) => {
  it.each<[string, (wrap: Wrap, key: string, source: () => Promise<{ id: number }>) => Promise<unknown>]>([
    ['a time', (wrap, key, source) => wrap(key, source, TTL_MS)],
    ['a default', (wrap, key, source) => wrap(key, source)],
    ['a function of the value', (wrap, key, source) => wrap(key, source, ({ id }) => id * 1_000)],
    ['options', (wrap, key, source) => wrap(key, source, { ttl: TTL_MS, refreshThreshold: ({ id }) => id })],
  ])('asks the source once, with %s', async (_name, call) => {
    const [wrap, key, source] = [wrapOfOne(), freshKey(), counted({ id: 42 })];
    expect([await call(wrap, key, source), await call(wrap, key, source)]).toEqual([{ id: 42 }, { id: 42 }]);
    expect(source.calls()).toBe(1);
  });

  it('keeps null, but not undefined', async () => {
    const [wrap, absent, none] = [wrapOfOne(), counted(null), counted(undefined)];
    const [a, b] = [freshKey(), freshKey()];
    for (let call = 0; call < 2; call += 1) {
      expect(await wrap(a, absent, TTL_MS)).toBe(null);
      expect((await wrap(b, none, TTL_MS)) ?? 'nothing').toBe('nothing');
    }
    expect([absent.calls(), none.calls()]).toEqual([1, 2]);
  });

  it('asks again when the TTL of the value has ended', async () => {
    const [wrap, key, source] = [wrapOfOne(), freshKey(), counted('a', 'b')];
    expect(await wrap(key, source, () => 20)).toBe('a');
    await pause(60);
    expect(await wrap(key, source, () => 20)).toBe('b');
  });

  it('serves a value near its end and refreshes it in the background', async () => {
    const [wrap, key, source] = [wrapOfOne(), freshKey(), counted('a', 'b')];
    const call = () => wrap(key, source, TTL_MS, TTL_MS - 20);
    expect(await call()).toBe('a');
    await pause(60);
    expect(await call()).toBe('a');
    while ((await call()) === 'a') await pause(10);
    expect(source.calls()).toBe(2);
  });

  it('rejects with what the source threw', async () => {
    const failed = wrapOfOne()(
      freshKey(),
      () => Promise.reject(new RangeError('the source is away')),
      TTL_MS,
    );
    await expect(failed).rejects.toThrow(RangeError);
  });
});

describe('a stampede of three processes', () => {
  const PROCESSES = 3;
  const slow = () => {
    const source = counted('value');
    return Object.assign(() => pause(50).then(source), { calls: source.calls });
  };

  it('of cache-manager on one store asks the source three times: a store gives no lease', async () => {
    const [store, key, source] = [new Map(), freshKey(), slow()];
    const caches = Array.from(
      { length: PROCESSES },
      (): Cache => createCache({ stores: [new Keyv({ store })] }),
    );
    await Promise.all(caches.map((cache) => cache.wrap(key, source, TTL_MS)));
    expect(source.calls()).toBe(PROCESSES);
  });

  it('of Dibs asks it once', async () => {
    const [key, source] = [freshKey(), slow()];
    const wraps = Array.from({ length: PROCESSES }, () => wrapOf(service.client()));
    expect(await Promise.all(wraps.map((wrap) => wrap(key, source, TTL_MS)))).toEqual(
      Array(PROCESSES).fill('value'),
    );
    expect(source.calls()).toBe(1);
  });
});

/** The arguments of a call with positional times. */
type OneByOne = [key: string, fnc: () => number, ttl?: number | (() => number), refreshThreshold?: number];

describe('times outside their bounds', () => {
  it.each<[string, OneByOne]>([
    ['ttl: undefined is outside 1 to 31536000000', ['a', () => 1]],
    ['ttl: 0 is outside 1 to 31536000000', ['a', () => 1, 0]],
    ['ttl: 31536000001 is outside 1 to 31536000000', ['a', () => 1, 31_536_000_001]],
    ['ttl: -1 is outside 1 to 31536000000', ['a', () => 1, () => -1]],
    ['refreshThreshold: -1 is outside 0 to 31536000000', ['a', () => 1, 1, -1]],
    ['refreshThreshold: 31536000001 is outside 0 to 31536000000', ['a', () => 1, 1, 31_536_000_001]],
  ])('%s', async (message, call) => {
    await expect(wrapOf(service.client())(...call)).rejects.toThrow(message);
  });

  it.each<[string, OneByOne]>([
    ['the least', ['', () => 1, 1, 0]],
    ['the most', ['', () => 1, 31_536_000_000, 31_536_000_000]],
  ])('%s allowed is stored', async (_, [, source, ...times]) => {
    const [key, client] = [freshKey(), service.client()];
    expect(await wrapOf(client)(key, source, ...times)).toBe(1);
  });
});
