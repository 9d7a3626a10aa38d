import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { json } from '../src/codec.js';
import { DibsBusyError, DibsError, RebuildFailedError } from '../src/errors.js';
import { bytes, deferred, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;
const down = () => new DibsError('UNAVAILABLE', 'connection refused');

let service: Service;
beforeAll(async () => {
  service = await Service.start({ DIBS_VALUE_MAX_BYTES: '1000' });
});
afterAll(() => service?.stop());

describe('getOrRebuild', () => {
  it('rebuilds a missing value, and serves it to every client from then on', async () => {
    const key = freshKey();
    const rebuild = vi.fn(async () => bytes('a value'));
    expect((await service.client().getOrRebuild(key, rebuild, { codec: raw, ttlMs }))?.toString()).toBe(
      'a value',
    );
    expect((await service.client().getOrRebuild(key, rebuild, { codec: raw, ttlMs }))?.toString()).toBe(
      'a value',
    );
    expect(rebuild).toHaveBeenCalledTimes(1);
  });

  it('lets one of many clients rebuild, and gives the others its result', async () => {
    const key = freshKey();
    const gate = deferred();
    const rebuild = vi.fn(async () => {
      await gate.promise;
      return bytes('one');
    });
    const all = Array.from({ length: 20 }, () =>
      service.client().getOrRebuild(key, rebuild, { codec: raw, ttlMs }),
    );
    await vi.waitFor(() => expect(rebuild).toHaveBeenCalled());
    gate.resolve();
    expect((await Promise.all(all)).map(String)).toEqual(Array.from({ length: 20 }, () => 'one'));
    expect(rebuild).toHaveBeenCalledTimes(1);
  });

  it('distinguishes an empty value from an absent one', async () => {
    const [empty, absent] = [freshKey(), freshKey()];
    const client = service.client();
    for (let time = 0; time < 2; time += 1) {
      expect(await client.getOrRebuild(empty, () => bytes(''), { codec: raw, ttlMs })).toEqual(bytes(''));
      expect(await client.getOrRebuild(absent, () => null, { codec: raw, ttlMs })).toBeNull();
    }
  });

  it('stores an absent value for its own TTL', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    await client.getOrRebuild(key, () => null, { codec: raw, ttlMs, absentTtlMs: 77, staleMs: 5, tags: [] });
    expect(link.sent.get('publish')).toMatchObject([{ ttlMs: 77, staleMs: 5 }]);
  });

  it("encodes and decodes with the caller's codec", async () => {
    const key = freshKey();
    const codec = json<{ id: number }>();
    const rebuild = () => ({ id: 42 });
    expect(await service.client().getOrRebuild(key, rebuild, { ttlMs, codec })).toEqual({ id: 42 });
    expect(await service.client().getOrRebuild(key, rebuild, { ttlMs, codec })).toEqual({ id: 42 });
  });

  it('serves the stale value at once, and rebuilds in the background', async () => {
    const key = freshKey();
    const client = service.client();
    await client.getOrRebuild(key, () => bytes('old'), { codec: raw, ttlMs: 1, staleMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const gate = deferred();
    const rebuild = async () => {
      await gate.promise;
      return bytes('new');
    };
    expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, staleMs: 0 }))).toBe('old');
    gate.resolve();
    await vi.waitFor(async () =>
      expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs }))).toBe('new'),
    );
  });

  it('waits for its own rebuild if it is told to, although a stale value is available', async () => {
    const key = freshKey();
    const client = service.client();
    await client.getOrRebuild(key, () => bytes('old'), { codec: raw, ttlMs: 1, staleMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const options = { codec: raw, ttlMs, revalidate: 'await' as const };
    expect(String(await client.getOrRebuild(key, () => bytes('new'), options))).toBe('new');
    expect(
      String(await client.getOrRebuild(key, () => bytes('newer'), { codec: raw, ttlMs, refresh: true })),
    ).toBe('newer');
  });
});

describe('equal calls of one process', () => {
  it('are one call', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    const rebuild = vi.fn(async () => bytes('one'));
    const all = Array.from({ length: 50 }, () => client.getOrRebuild(key, rebuild, { codec: raw, ttlMs }));
    expect((await Promise.all(all)).map(String)).toEqual(Array.from({ length: 50 }, () => 'one'));
    expect(link.called).toEqual(['getOrLock', 'publish']);
  });

  it('do not join if they want a value that is newer than the call', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    await client.getOrRebuild(key, () => bytes('one'), { codec: raw, ttlMs });
    const read = () => client.getOrRebuild(key, () => bytes('two'), { codec: raw, ttlMs, read: 'store' });
    await Promise.all([read(), read()]);
    expect(link.countOf('getOrLock')).toBe(3);
  });

  it('each end by their own signal, and the rebuild ends when all have left', async () => {
    const key = freshKey();
    const client = service.client();
    const [one, two] = [new AbortController(), new AbortController()];
    const begun = deferred<AbortSignal>();
    const rebuild = ({ signal }: { signal: AbortSignal }) => {
      begun.resolve(signal);
      return new Promise<Buffer>((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason)),
      );
    };
    const first = client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, signal: one.signal });
    const second = client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, signal: two.signal });
    const rebuilding = await begun.promise;
    one.abort(new Error('first left'));
    await expect(first).rejects.toThrow('first left');
    expect(rebuilding.aborted).toBe(false);
    two.abort(new Error('second left'));
    await expect(second).rejects.toThrow('second left');
    expect(rebuilding.aborted).toBe(true);
    // The lease was released without a failure, so the next caller can try at once.
    await vi.waitFor(async () =>
      expect(
        String(
          await service.client().getOrRebuild(key, () => bytes('next'), { codec: raw, ttlMs, waitMs: 100 }),
        ),
      ).toBe('next'),
    );
  });

  it('are not sent for a caller that has already gone', async () => {
    const { client, link } = service.clientOverBadLink();
    const signal = AbortSignal.abort(new Error('gone'));
    await expect(
      client.getOrRebuild(freshKey(), () => bytes(''), { codec: raw, ttlMs, signal }),
    ).rejects.toThrow('gone');
    expect(link.called).toEqual([]);
  });
});

describe('a wait', () => {
  it('that ends first throws DibsBusyError, with the reason and a time to retry', async () => {
    const key = freshKey();
    const onWait = vi.fn();
    await service.client().getOrLock({ key });
    const client = service.client({ hooks: { onWait } });
    const error = await client
      .getOrRebuild(key, () => bytes(''), { codec: raw, ttlMs, waitMs: 60 })
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DibsBusyError);
    expect(error).toMatchObject({ reason: 'wait_ended', retryAfterMs: expect.any(Number) });
    expect(onWait).toHaveBeenCalledWith(expect.objectContaining({ key, answered: false }));
  });

  it('continues after the service asks for a retry', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    link.failBefore(
      'getOrLock',
      new DibsError('RESOURCE_EXHAUSTED', 'full', 20),
      new DibsError('UNAVAILABLE', 'lost', 5),
    );
    expect(String(await client.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs }))).toBe('v');
    expect(link.countOf('getOrLock')).toBe(3);
    const ids = (link.sent.get('getOrLock') as { requestId: string }[]).map(({ requestId }) => requestId);
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("ends with the service's error if there is no time to retry", async () => {
    const { client, link } = service.clientOverBadLink();
    link.failBefore('getOrLock', new DibsError('RESOURCE_EXHAUSTED', 'full', 5_000));
    await expect(
      client.getOrRebuild(freshKey(), () => bytes(''), { codec: raw, ttlMs, waitMs: 100 }),
    ).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
  });
});

describe('without the service', () => {
  it('rebuilds locally, one rebuild at a time per key, and calls the hook', async () => {
    const onLocalRebuild = vi.fn();
    const { client, link } = service.clientOverBadLink({ hooks: { onLocalRebuild } });
    link.failBefore('getOrLock', down(), down(), down(), down());
    const key = freshKey();
    const rebuild = vi.fn(async () => bytes('mine'));
    const all = [
      client.getOrRebuild(key, rebuild, { codec: raw, ttlMs }),
      client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, stale: 'forbid' }),
    ];
    expect((await Promise.all(all)).map(String)).toEqual(['mine', 'mine']);
    expect(rebuild).toHaveBeenCalledTimes(1);
    expect(onLocalRebuild).toHaveBeenCalledTimes(1);
    expect(link.called).toEqual(['getOrLock', 'getOrLock', 'getOrLock', 'getOrLock']);
  });

  it('fails if it is told to', async () => {
    const { client, link } = service.clientOverBadLink({ onUnavailable: 'fail' });
    link.failBefore('getOrLock', down(), down());
    const rebuild = vi.fn(() => bytes(''));
    await expect(client.getOrRebuild(freshKey(), rebuild, { codec: raw, ttlMs })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(rebuild).not.toHaveBeenCalled();
  });

  it('gets a lease again if its answer was lost', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    link.failAfter('getOrLock', new DibsError('UNAVAILABLE', 'reset', 1));
    const rebuild = vi.fn(async () => bytes('v'));
    expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, waitMs: 2_000 }))).toBe('v');
    expect(rebuild).toHaveBeenCalledTimes(1);
  });

  it('returns the rebuilt value if the service stops before the publish, and publishes when it is back', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    link.failBefore('publish', down(), down());
    expect(String(await client.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs }))).toBe('v');
    await vi.waitFor(() => expect(link.countOf('publish')).toBe(3));
    expect(
      String(await service.client().getOrRebuild(key, () => bytes('other'), { codec: raw, ttlMs })),
    ).toBe('v');
  });
});

describe('a fault of the caller', () => {
  it.each([
    ['a key', { key: '', options: { codec: raw, ttlMs } }, /^key: /],
    ['a TTL', { key: 'a TTL', options: { codec: raw, ttlMs: 0 } }, /^ttlMs: 0 is outside 1 to /],
    ['a wait', { key: 'a wait', options: { codec: raw, ttlMs, waitMs: -1 } }, /^waitMs: -1 is outside 0 to /],
    ['a namespace', { key: 'a space', options: { codec: raw, ttlMs, namespace: 'a b' } }, /^namespace: /],
  ])('in %s is an error that names it and its bounds', async (_what, { key, options }, message) => {
    const error = await service
      .client()
      .getOrRebuild(key, () => bytes('v'), options)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message });
  });

  it('in a value does not keep it from its caller, and gives the others the error instead of a rebuild', async () => {
    const key = freshKey();
    const onNotStorable = vi.fn();
    const client = service.client({ hooks: { onNotStorable } });
    expect(await client.getOrRebuild(key, () => Buffer.alloc(1_001), { codec: raw, ttlMs })).toHaveLength(
      1_001,
    );
    expect(onNotStorable).toHaveBeenCalledWith(
      expect.objectContaining({ key, error: expect.objectContaining({ code: 'RESOURCE_EXHAUSTED' }) }),
    );
    await expect(
      service.client().getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs }),
    ).rejects.toBeInstanceOf(RebuildFailedError);
  });

  it('in a hook does not fail the call', async () => {
    const onHit = () => {
      throw new Error('a counter that fails');
    };
    const client = service.client({ hooks: { onHit } });
    const key = freshKey();
    await client.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs });
    expect(String(await client.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs }))).toBe('v');
  });
});

describe('the plain calls', () => {
  it('ask for many keys, and return the outcome of each', async () => {
    const client = service.client();
    const keys = [freshKey(), freshKey()];
    const seen = new Map<string, string>();
    for await (const answer of client.getOrLockMany({ keys, waitMs: 0 })) {
      seen.set(answer.key, 'error' in answer ? answer.error.code : answer.outcome.kind);
    }
    expect(seen).toEqual(new Map(keys.map((key) => [key, 'lease'])));
  });

  it('refuse bad input of many keys by name, and a caller that has gone', async () => {
    const client = service.client();
    const all = async (request: Parameters<typeof client.getOrLockMany>[0], signal?: AbortSignal) => {
      for await (const _answer of client.getOrLockMany(request, { signal })) expect.unreachable();
    };
    await expect(all({ keys: [] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^keys: 0 is outside/),
    });
    await expect(all({ keys: ['k'] }, AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('release the leases of many keys when the caller stops listening', async () => {
    const client = service.client();
    const [taken = '', left = ''] = [freshKey(), freshKey()];
    for await (const { key } of client.getOrLockMany({ keys: [taken], waitMs: 0 })) {
      expect(key).toBe(taken);
    }
    const waiting = client.getOrLockMany({ keys: [left, taken], waitMs: 20_000 });
    for await (const answer of waiting) {
      expect(answer).toMatchObject({ key: left, outcome: { kind: 'lease' } });
      break;
    }
    // The wait for the other key has ended with the loop.
    await vi.waitFor(async () => expect((await client.explain({ key: taken })).waiters).toBe(0));
  });

  it('invalidate by tag and by namespace', async () => {
    const client = service.client({ namespace: `tags-${freshKey().replace(/[^a-z0-9]/gi, '')}` });
    const rebuild = vi.fn(() => bytes('v'));
    const options = { codec: raw, ttlMs: 60_000, tags: ['a', 'b'] };
    const key = freshKey();
    const read = () => client.getOrRebuild(key, rebuild, options);
    await read();
    await client.invalidate({ tags: ['c'] });
    await read();
    expect(rebuild).toHaveBeenCalledTimes(1);
    await client.invalidate({ tags: ['b'] });
    await read();
    expect(rebuild).toHaveBeenCalledTimes(2);
    await client.invalidate({ all: true });
    await read();
    expect(rebuild).toHaveBeenCalledTimes(3);
  });
});
