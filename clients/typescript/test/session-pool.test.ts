import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { countAddresses } from '../src/addresses.js';
import { DibsClient } from '../src/client.js';
import { SYSTEM_CLOCK } from '../src/clock.js';
import { type PooledSession, SessionPool } from '../src/session-pool.js';
import { bytes, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;

describe('the addresses of a target', () => {
  it.each([
    ['ipv4:127.0.0.1:1,127.0.0.1:2', 2],
    ['ipv6:[::1]:1', 1],
    ['unix:///run/dibs.sock', 1],
    ['127.0.0.1:50051', 1],
    ['dns:///127.0.0.1:50051', 1],
    ['dns://authority/127.0.0.1:50051', 1],
    ['[::1]:50051', 1],
    ['no.such.name.invalid:1', 1],
  ])('in %s are %i', async (target, count) => {
    expect(await countAddresses(target)).toBe(count);
  });
});

describe('a session that reaches the replica of another one', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('tries again less and less often, until an address that connects late is found', async () => {
    let [peer, looks] = ['one', 0];
    const pool = new SessionPool({
      ...{ clock: SYSTEM_CLOCK, salt: 0 },
      countAddresses: () => Promise.resolve(2),
      create: ({ opened }) => {
        const session: Partial<PooledSession> & { peer: string | undefined } = {
          peer: undefined,
          ready: () => Promise.resolve(),
          open: () => {
            looks += 1;
            session.peer = peer;
            opened();
          },
          leave: () => {},
          close: () => {},
        };
        // A call opens the first one.
        if (looks === 0) queueMicrotask(() => session.open?.());
        return session as PooledSession;
      },
    });
    // Eight tries within the first 1.3 s, and fewer and fewer afterwards.
    await vi.advanceTimersByTimeAsync(1_300);
    expect(looks).toBe(9);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(looks).toBe(12);
    peer = 'two';
    await vi.advanceTimersByTimeAsync(20_000);
    const found = looks;
    await vi.advanceTimersByTimeAsync(100_000);
    expect(looks).toBe(found);
    pool.close();
  });
});

describe('a client of several replicas', () => {
  let services: Service[];
  let client: DibsClient;
  beforeEach(async () => {
    services = await Promise.all([Service.start(), Service.start(), Service.start()]);
    client = new DibsClient({ target: `ipv4:${services.map(({ target }) => target).join()}` });
  });
  afterEach(async () => {
    client.close();
    await Promise.all(services.map((service) => service.stop()));
  });

  /** Asks for new keys. Returns how many each service has: here each has its own memory. */
  async function spread(count: number): Promise<number[]> {
    const keys = Array.from({ length: count }, () => freshKey());
    await Promise.all(keys.map((key) => client.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs })));
    return standingOf(keys);
  }

  /** Returns how many of the keys each service has. */
  function standingOf(keys: readonly string[]): Promise<number[]> {
    return Promise.all(
      services.map(async (service) => {
        const direct = service.client({ session: false });
        const kinds = await Promise.all(
          keys.map(async (key) => (await direct.getOrLock({ key, intent: 'read', waitMs: 0 })).kind),
        );
        return kinds.filter((kind) => kind === 'hit').length;
      }),
    );
  }

  it('spreads its keys over all of them, and sends each key to the same replica every time', async () => {
    await vi.waitFor(
      async () => expect((await spread(60)).map((count) => count > 5)).toEqual([true, true, true]),
      60_000,
    );
    const [key, rebuild] = [freshKey(), vi.fn(() => bytes('v'))];
    for (let at = 0; at < 5; at += 1) await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs });
    expect(rebuild).toHaveBeenCalledTimes(1);
  });

  it('sends each key to the same replica as other clients, with key affinity', async () => {
    const target = `ipv4:${services.map(({ target }) => target).join()}`;
    const clients = [0, 1].map(() => new DibsClient({ target, keyAffinity: true }));
    const asks = (at: number, key: string) =>
      clients[at]?.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs });
    try {
      await vi.waitFor(async () => {
        const keys = Array.from({ length: 30 }, () => freshKey());
        await Promise.all(keys.map((key) => asks(0, key)));
        const rebuild = vi.fn(() => bytes('v'));
        // Here each service has its own memory.
        await Promise.all(keys.map((key) => clients[1]?.getOrRebuild(key, rebuild, { codec: raw, ttlMs })));
        expect(rebuild).not.toHaveBeenCalled();
      }, 60_000);
    } finally {
      for (const each of clients) each.close();
    }
  });

  it('asks for each of many keys at the replica that a single call would use', async () => {
    const rebuildMany = (keys: readonly string[]) => keys.map((key) => [key, bytes('v')] as const);
    await vi.waitFor(async () => {
      const keys = Array.from({ length: 30 }, () => freshKey());
      await client.getOrRebuildMany(keys, async (missing) => new Map(rebuildMany(missing)), {
        codec: raw,
        ttlMs,
      });
      const rebuild = vi.fn(() => bytes('v'));
      await Promise.all(keys.map((key) => client.getOrRebuild(key, rebuild, { codec: raw, ttlMs })));
      expect(rebuild).not.toHaveBeenCalled();
      expect(Math.min(...(await standingOf(keys)))).toBeGreaterThan(0);
    }, 60_000);
  });

  it('continues with the remaining replicas when one stops, and counts none twice', async () => {
    await vi.waitFor(async () => expect(Math.min(...(await spread(60)))).toBeGreaterThan(5), 60_000);
    await services[1]?.stop();
    services.splice(1, 1);
    for (let at = 0; at < 20; at += 1) {
      expect(String(await client.getOrRebuild(freshKey(), () => bytes('v'), { codec: raw, ttlMs }))).toBe(
        'v',
      );
    }
    expect(Math.min(...(await spread(60)))).toBeGreaterThan(5);
  });
});
