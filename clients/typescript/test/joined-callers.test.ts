import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Changes } from '../src/changes.js';
import { DibsClient } from '../src/client.js';
import { callErrorOf } from '../src/errors.js';
import { SessionTransport } from '../src/session-transport.js';
import type { Transport } from '../src/transport.js';
import { hit, LOST, lease } from './fake-service.js';
import { deferred, freshKey, Service } from './service.js';

// A caller that joins a call of its own process keeps its own wait, and leaves by its own signal only.

const ttlMs = 60_000;
let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service.stop());

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('does not join a rebuild that all of its callers have left', async () => {
  const client = service.client();
  const key = freshKey();
  const left = new AbortController();
  const begun = deferred();
  const stopsLater = ({ signal }: { signal: AbortSignal }) =>
    new Promise<string>((_, reject) => {
      begun.resolve();
      signal.addEventListener('abort', () => setTimeout(() => reject(signal.reason), 50));
    });
  const first = client.getOrRebuild(key, stopsLater, { ttlMs, signal: left.signal });
  await begun.promise;
  left.abort(new Error('the first caller has left'));
  const second = client.getOrRebuild(key, () => 'second', { ttlMs });
  await expect(first).rejects.toThrow('the first caller has left');
  expect(await second).toBe('second');
});

it('waits on for another process when the caller that it joined waits no longer', async () => {
  const client = service.client({ nearCache: { maxBytes: 100_000 } });
  const key = freshKey();
  const gate = deferred();
  const theirs = service.client().getOrRebuild(key, () => gate.promise.then(() => 'theirs'), { ttlMs });
  await client.get(freshKey());
  await vi.waitFor(async () => expect((await client.explain(key)).lease).toBeDefined());
  const asking = vi.spyOn(SessionTransport.prototype, 'askGetOrLock');
  const call = () => client.getOrRebuild(key, () => 'own', { ttlMs, waitMs: 6_000 });
  const first = call();
  first.catch(() => {});
  await pause(3_000);
  const joined = call();
  await pause(0);
  expect(asking).toHaveBeenCalledTimes(1);
  await expect(first).rejects.toMatchObject({ reason: 'wait_ended' });
  gate.resolve();
  expect([await joined, await theirs]).toEqual(['theirs', 'theirs']);
});

describe('a caller whose wait is longer than that of the call that it joined', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it.each([
    [
      'when that one loses its lease without time for another one',
      // Extended for the first time after 333 ms.
      () => lease('t', 600),
      { name: 'LeaseLostError' },
    ],
    [
      'when the service names a time that is too late for that one',
      () => Promise.reject(callErrorOf({ code: 8, message: 'too many', retryAfterMs: 120 })),
      { code: 'RESOURCE_EXHAUSTED', retryAfterMs: 120 },
    ],
  ])('asks for itself %s', async (_when, answer, error) => {
    vi.spyOn(Changes.prototype, 'isWatched').mockReturnValue(true);
    const asked: number[] = [];
    const transport: Partial<Transport> = {
      getOrLock: async () => {
        asked.push(performance.now());
        if (asked.length > 1) return hit('"theirs"');
        await pause(200);
        return answer();
      },
      extend: async () => LOST,
      close: () => {},
    };
    const client = new DibsClient({ transport: transport as Transport });
    const untilAborted = ({ signal }: { signal: AbortSignal }) =>
      new Promise<string>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const call = () => client.getOrRebuild('k', untilAborted, { ttlMs, waitMs: 300 });
    const first = call();
    first.catch(() => {});
    await vi.advanceTimersByTimeAsync(150);
    const joined = call();
    joined.catch(() => {});
    await vi.advanceTimersByTimeAsync(2_000);
    await expect(first).rejects.toMatchObject(error);
    expect(await joined).toBe('theirs');
    expect(asked).toHaveLength(2);
  });
});
