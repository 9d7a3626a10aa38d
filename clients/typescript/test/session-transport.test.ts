import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import { LeaseLostError } from '../src/errors.js';
import { FakeService } from './fake-service.js';
import { bytes, deferred, freshKey, raw, Service } from './service.js';

// What a client does over sessions, on real services.

const ttlMs = 60_000;
let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service.stop());

describe('a client over a session', () => {
  it('rebuilds once for all clients, including those with unary calls', async () => {
    const clients = [service.client(), service.client(), service.client({ session: false })];
    const key = freshKey();
    const rebuild = vi.fn(async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return bytes('v');
    });
    const all = await Promise.all(
      Array.from({ length: 60 }, (_, at) =>
        clients[at % 3]?.getOrRebuild(key, rebuild, { codec: raw, ttlMs }),
      ),
    );
    expect(new Set(all.map(String))).toEqual(new Set(['v']));
    expect(rebuild).toHaveBeenCalledTimes(1);
  });

  it('sends no more in one message than the service accepts', async () => {
    const client = service.client();
    const value = Buffer.alloc(300_000, 'v');
    const keys = Array.from({ length: 20 }, () => freshKey());
    await Promise.all(keys.map((key) => client.getOrRebuild(key, () => value, { codec: raw, ttlMs })));
    const hits = await Promise.all(keys.map((key) => client.getOrLock({ key })));
    expect(new Set(hits.map(({ kind }) => kind))).toEqual(new Set(['hit']));
  });

  it('refuses a call that cannot be encoded, and nothing else on the stream', async () => {
    const client = service.client();
    const [key, gate, lost] = [freshKey(), deferred<Buffer>(), vi.fn()];
    const holder = service.client({ hooks: { onLeaseLost: lost } });
    const rebuilt = holder.getOrRebuild(key, () => gate.promise, { codec: raw, ttlMs });
    await vi.waitFor(async () => expect((await client.explain({ key })).lease).toBeDefined());
    const broken = { code: 'INVALID_ARGUMENT' };
    const beside = holder.explain({ key });
    await expect(holder.getOrLock({ key, requestId: Object.create(null) })).rejects.toMatchObject(broken);
    await expect(holder.publish({ key, token: 't', value: {} as never, ttlMs })).rejects.toMatchObject(
      broken,
    );
    expect((await beside).lease).toBeDefined();
    gate.resolve(bytes('v'));
    expect(String(await rebuilt)).toBe('v');
    expect(lost).not.toHaveBeenCalled();
    expect((await client.explain({ key })).value).toMatchObject({ sizeBytes: 1 });
  });

  it.each([
    ['one key of megabytes', 1, 5_000_000],
    ['many keys that are each too long', 200, 50_000],
  ])('refuses only the calls that are too large, and keeps its leases: %s', async (_what, count, length) => {
    const client = service.client();
    const [key, gate] = [freshKey(), deferred<Buffer>()];
    const holder = service.client();
    const rebuilt = holder.getOrRebuild(key, () => gate.promise, { codec: raw, ttlMs });
    await vi.waitFor(async () => expect((await client.explain({ key })).lease).toBeDefined());
    const long = Array.from({ length: count }, (_, at) => `${at}${'x'.repeat(length)}`);
    const ends = await Promise.allSettled(long.map((each) => holder.getOrLock({ key: each })));
    for (const end of ends) expect(end).toMatchObject({ reason: { code: 'INVALID_ARGUMENT' } });
    expect((await holder.explain({ key })).lease).toBeDefined();
    gate.resolve(bytes('v'));
    await rebuilt;
    expect((await client.explain({ key })).value).toMatchObject({ sizeBytes: 1 });
  });

  it('learns of a lost lease at once, long before the next extension', async () => {
    const client = service.client();
    const key = freshKey();
    let runs = 0;
    const startMs = performance.now();
    const reasons: unknown[] = [];
    const rebuild = ({ signal }: { signal: AbortSignal }) => {
      runs += 1;
      if (runs > 1) return bytes('anew');
      void service.client().invalidate({ keys: [key] });
      return new Promise<Buffer>((_, reject) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          reject(signal.reason);
        });
      });
    };
    // Extended after 20 seconds.
    expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, leaseMs: 60_000 }))).toBe(
      'anew',
    );
    expect(reasons).toEqual([expect.any(LeaseLostError)]);
    expect(performance.now() - startMs).toBeLessThan(15_000);
  });

  it('keeps to deadlines and signals by itself if the service sends nothing', async () => {
    const client = service.client();
    const key = freshKey();
    await client.getOrLock({ key });
    await expect(client.getOrLock({ key, waitMs: 20_000 }, { deadlineMs: 0 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    const gone = new AbortController();
    const call = client.getOrLock({ key, waitMs: 20_000 }, { signal: gone.signal });
    setTimeout(() => gone.abort(), 20);
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
    await vi.waitFor(async () => expect((await client.explain({ key })).waiters).toBe(0));
  });

  it('loses nothing else when a value is far too large', async () => {
    const client = service.client();
    const [held, key] = [freshKey(), freshKey()];
    const onLeaseLost = vi.fn();
    const other = service.client({ hooks: { onLeaseLost } });
    const gate = deferred<Buffer>();
    const rebuilding = other.getOrRebuild(held, () => gate.promise, { codec: raw, ttlMs });
    const large = other.getOrRebuild(key, () => Buffer.alloc(3_000_000), { codec: raw, ttlMs });
    expect(await large).toHaveLength(3_000_000);
    gate.resolve(bytes('v'));
    expect(String(await rebuilding)).toBe('v');
    expect(onLeaseLost).not.toHaveBeenCalled();
    expect((await client.explain({ key: held })).pastLeases).toMatchObject([{ end: 'published' }]);
  });

  it('refuses text that UTF-8 cannot encode', async () => {
    const client = service.client();
    const broken = 'half a \uD800 pair';
    const refused = { code: 'INVALID_ARGUMENT' };
    await expect(client.getOrLock({ key: broken })).rejects.toMatchObject(refused);
    await expect(client.getOrRebuild(broken, () => bytes('v'), { codec: raw, ttlMs })).rejects.toMatchObject(
      refused,
    );
    await expect(client.invalidate({ keys: [broken] })).rejects.toMatchObject(refused);
    await expect(client.invalidate({ tags: [broken] })).rejects.toMatchObject(refused);
    const publish = { key: freshKey(), token: 't', value: null, ttlMs, tags: [broken] };
    await expect(client.publish(publish)).rejects.toMatchObject(refused);
    await expect(async () => {
      for await (const _ of client.getOrLockMany({ keys: [broken] }));
    }).rejects.toMatchObject(refused);
  });

  it('does not send a call that is cancelled in the same turn', async () => {
    const client = service.client();
    const key = freshKey();
    await client.getOrLock({ key: freshKey() });
    const gone = new AbortController();
    const call = client.getOrLock({ key }, { signal: gone.signal });
    gone.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
    expect((await client.explain({ key })).pastLeases).toEqual([]);
    expect((await client.explain({ key })).lease).toBeUndefined();
  });

  it('moves to another replica when its own stops, and no call fails', async () => {
    const [one, other] = [await Service.start(), await Service.start()];
    const target = `ipv4:${one.target},${other.target}`;
    const onLocalRebuild = vi.fn();
    const client = new DibsClient({ target, hooks: { onLocalRebuild } });
    try {
      let going = true;
      let done = 0;
      const worker = async () => {
        while (going) {
          expect(String(await client.getOrRebuild(freshKey(), () => bytes('v'), { codec: raw, ttlMs }))).toBe(
            'v',
          );
          done += 1;
        }
      };
      const workers = [worker(), worker(), worker(), worker()];
      await vi.waitFor(() => expect(done).toBeGreaterThan(50));
      await one.stop();
      const before = done;
      await vi.waitFor(() => expect(done).toBeGreaterThan(before + 50));
      going = false;
      await Promise.all(workers);
      expect(onLocalRebuild).not.toHaveBeenCalled();
    } finally {
      client.close();
      await other.stop();
    }
  });
});

describe('a service without sessions', () => {
  let fake: FakeService;
  beforeAll(async () => {
    fake = await FakeService.start();
  });
  afterEach(() => fake.stop());

  it('is called with unary calls automatically', async () => {
    const client = fake.client();
    fake.will('extend', { outcome: 1, expiresInMs: 5 });
    for (let at = 0; at < 3; at += 1) {
      expect(await client.extend({ key: 'k', token: 't' })).toEqual({ outcome: 'extended', expiresInMs: 5 });
    }
    expect(fake.heard.map(({ method }) => method)).toEqual(['extend', 'extend', 'extend']);
  });
});
