import { createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { answersAsTheyCome } from '../src/answers-as-they-come.js';
import { DibsClient } from '../src/client.js';
import type { SignalLike } from '../src/light-signal.js';
import { MemoryDibs } from '../src/testing.js';
import { tokenSource } from '../src/token.js';
import { deferred } from './service.js';

// What a call leaves behind: no failure without a handler, which would end the process, and nothing on a signal that
// lives longer than the call.

const ttlMs = 60_000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('failures without a handler', () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  afterEach(() => {
    unhandled.mockClear();
  });

  it('do not come from a connection that is late while the token function fails', async () => {
    // It takes connections, and never speaks HTTP/2.
    const sockets = new Set<{ destroy(): void }>();
    const mute = createServer((socket) => void sockets.add(socket));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as { port: number };
    let isFailing = false;
    const token = () => {
      if (isFailing) throw new Error('no token now');
      return 't';
    };
    const client = new DibsClient({ target: `127.0.0.1:${port}`, token, connectMs: 50 });
    try {
      isFailing = true;
      await expect(client.getOrRebuild('k', () => 'v', { ttlMs })).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
      });
      await pause(300);
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      client.close();
      for (const socket of sockets) socket.destroy();
      mute.close();
    }
  });

  it('do not come from a token function that is async, which is refused by name', async () => {
    const token = (async () => Promise.reject(new Error('no token now'))) as never;
    expect(() => tokenSource({ token })()).toThrow(/^token: the function did not return a string/);
    await pause(10);
    expect(unhandled).not.toHaveBeenCalled();
  });
});

describe('a signal that outlives its calls', () => {
  /** What Node keeps for each signal that depends on this one. */
  const dependants = (signal: SignalLike) => {
    const name = Object.getOwnPropertySymbols(signal).find(
      ({ description }) => description === 'kDependantSignals',
    );
    return name === undefined ? 0 : (signal as never as Record<symbol, Set<unknown>>)[name]?.size;
  };

  it('keeps nothing of calls for many keys', async () => {
    const { signal } = new AbortController();
    const add = vi.spyOn(signal, 'addEventListener');
    const remove = vi.spyOn(signal, 'removeEventListener');
    for (let at = 0; at < 10; at += 1) {
      const answers = answersAsTheyCome(
        async (more: (answer: number) => void) => void more(at),
        signal,
        () => {},
      );
      for await (const answer of answers) expect(answer).toBe(at);
    }
    expect(dependants(signal)).toBe(0);
    expect(remove).toHaveBeenCalledTimes(add.mock.calls.length);
  });

  it('still ends a call for many keys, with its reason', async () => {
    const left = new AbortController();
    const ended = deferred<unknown>();
    const ask = (_more: unknown, signal: SignalLike) =>
      new Promise<undefined>((_, reject) => {
        const end = () => {
          ended.resolve(signal.reason);
          reject(signal.reason);
        };
        if (signal.aborted) end();
        else signal.addEventListener('abort', end);
      });
    const reason = new Error('left');
    const next = answersAsTheyCome(ask, left.signal, () => {}).next();
    left.abort(reason);
    await expect(next).rejects.toBe(reason);
    expect(await ended.promise).toBe(reason);
    await expect(answersAsTheyCome(ask, left.signal, () => {}).next()).rejects.toBe(reason);
  });
});

it('a signal of a call for many keys gives no warning of a leak, and keeps nothing', async () => {
  const warned = vi.fn();
  process.on('warning', warned);
  const { signal } = new AbortController();
  const [add, remove] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')];
  const keys = Array.from({ length: 20 }, (_, at) => `k${at}`);
  const client = new DibsClient({ target: '127.0.0.1:1', connectMs: 100 });
  const values = async (asked: string[]) => new Map(asked.map((key) => [key, 'v']));
  for (const dibs of [client, new MemoryDibs()]) {
    expect((await dibs.getOrRebuildMany(keys, values, { ttlMs, signal })).size).toBe(20);
  }
  client.close();
  await pause(10);
  process.off('warning', warned);
  const names = warned.mock.calls.map(([{ name }]) => name);
  expect(names).not.toContain('MaxListenersExceededWarning');
  expect(remove.mock.calls.length).toBeGreaterThanOrEqual(add.mock.calls.length);
});
