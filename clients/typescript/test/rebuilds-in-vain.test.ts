import { afterEach, describe, expect, it, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import { DibsError } from '../src/errors.js';
import type { DibsClientOptions } from '../src/options.js';
import type { Transport } from '../src/transport.js';
import { lease, RELEASED } from './fake-service.js';

// Rebuilds and publishes that something on this side of the network disturbs.

const ttlMs = 60_000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const STORED = { outcome: 1, fence: 4, counts: true, maybeStored: false };
const unhandled = vi.fn();
process.on('unhandledRejection', unhandled);
afterEach(() => {
  unhandled.mockClear();
});

function clientOf(transport: Partial<Transport>, options: DibsClientOptions = {}) {
  const released = vi.fn();
  const all: Partial<Transport> = {
    getOrLock: async () => lease('t'),
    publish: async () => STORED,
    release: async ({ failure }) => {
      released(failure);
      return RELEASED;
    },
    close: () => {},
    ...transport,
  };
  return { client: new DibsClient({ transport: all as Transport, ...options }), released };
}

describe('a rebuild of many keys', () => {
  it('does not begin for keys that no caller waits for any more', async () => {
    const left = new AbortController();
    const { client, released } = clientOf({
      async *getOrLockMany({ keys: [key = ''] }) {
        yield { key, result: { $case: 'response', value: lease('t') } };
        // The answer for another key takes its time.
        await pause(100);
      },
    });
    const rebuild = vi.fn(() => ({ k: 'v' }));
    const call = client.getOrRebuildMany(['k'], rebuild, { ttlMs, signal: left.signal });
    await pause(50);
    left.abort(new Error('left'));
    await expect(call).rejects.toThrow('left');
    await vi.waitFor(() => expect(released).toHaveBeenCalledWith(undefined));
    await pause(100);
    expect(rebuild).not.toHaveBeenCalled();
  });
});

describe('a publish that has no token', () => {
  const noToken = () => new DibsError('UNAUTHENTICATED', 'token: the function failed');

  it('is repeated, and the value does not count as one that cannot be stored', async () => {
    const [onNotStorable, onPublish] = [vi.fn(), vi.fn()];
    const publish = vi.fn(async () => STORED).mockRejectedValueOnce(noToken());
    const { client, released } = clientOf({ publish }, { hooks: { onNotStorable, onPublish } });
    expect(await client.getOrRebuild('k', () => 'v', { ttlMs })).toBe('v');
    expect(await client.flush()).toBe(true);
    expect(onPublish).toHaveBeenCalledTimes(1);
    expect(onNotStorable).not.toHaveBeenCalled();
    expect(released).not.toHaveBeenCalled();
  });

  it('starts no back-off for other callers', async () => {
    const onBackgroundError = vi.fn();
    const publish = vi.fn(() => Promise.reject(noToken()));
    const { client, released } = clientOf({ publish }, { hooks: { onBackgroundError } });
    expect(await client.getOrRebuild('k', () => 'v', { ttlMs })).toBe('v');
    expect(await client.flush()).toBe(true);
    expect(onBackgroundError).toHaveBeenCalledTimes(1);
    expect(released.mock.calls).toEqual([[undefined]]);
  });
});

describe('a publish that may be repeated only after the lease', () => {
  const later = () => new DibsError('RESOURCE_EXHAUSTED', 'too many', 3_600_000);

  it('holds up no set', async () => {
    const { client, released } = clientOf({ publish: () => Promise.reject(later()) });
    const set = client.set('k', 'v', { ttlMs }).catch((error: unknown) => error);
    expect(await Promise.race([set, pause(1_000)])).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    expect(released.mock.calls).toEqual([[undefined]]);
  });

  it('stays in the background for no hour', async () => {
    const { client, released } = clientOf({ publish: () => Promise.reject(later()) });
    expect(await client.getOrRebuild('k', () => 'v', { ttlMs })).toBe('v');
    expect(await client.flush({ timeoutMs: 1_000 })).toBe(true);
    expect(released.mock.calls).toEqual([[undefined]]);
  });
});

describe('a rebuild without the service', () => {
  it('that sets a wrong TTL harms no other code of the process', async () => {
    const { client } = clientOf({
      getOrLock: () => Promise.reject(new DibsError('UNAVAILABLE', 'gone')),
    });
    const rebuild = ({ storeWith }: { storeWith(options: object): void }) => {
      storeWith({ ttlMs: 5n });
      return 'v';
    };
    expect(await client.getOrRebuild('k', rebuild, { ttlMs })).toBe('v');
    await pause(10);
    expect(unhandled).not.toHaveBeenCalled();
  });
});
