import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DibsError, LeaseLostError, RebuildFailedError } from '../src/errors.js';
import { bytes, deferred, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;
const down = () => new DibsError('UNAVAILABLE', 'connection refused');

let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service?.stop());

describe('a rebuild that fails', () => {
  it('throws its error to its caller, and a RebuildFailedError to the waiters', async () => {
    const key = freshKey();
    const failure = new Error('no database');
    const gate = deferred();
    const begun = deferred();
    const rebuild = async () => {
      begun.resolve();
      await gate.promise;
      throw failure;
    };
    const own = service.client().getOrRebuild(key, rebuild, { codec: raw, ttlMs });
    own.catch(() => {});
    await begun.promise;
    const { client, link } = service.clientOverBadLink();
    const waiting = client.getOrRebuild(key, rebuild, { codec: raw, ttlMs });
    waiting.catch(() => {});
    await vi.waitFor(() => expect(link.called).toEqual(['getOrLock']));
    gate.resolve();
    await expect(own).rejects.toBe(failure);
    const error = await waiting.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RebuildFailedError);
    expect(error).toMatchObject({ message: 'no database', retryAfterMs: expect.any(Number) });
  });

  it('can set how long the source should be left alone', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    const failure = Object.assign(new Error('slow down'), { retryAfterMs: 1_234 });
    const failing = () => Promise.reject(failure);
    await expect(client.getOrRebuild(key, failing, { codec: raw, ttlMs })).rejects.toBe(failure);
    expect(link.sent.get('release')).toMatchObject([
      { failure: { message: 'slow down', retryAfterMs: 1_234 } },
    ]);
  });

  it("is reported within the contract's bound, however long its message is", async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    const failing = () => Promise.reject(new Error(`a${'💥'.repeat(2_000)}`));
    await expect(client.getOrRebuild(key, failing, { codec: raw, ttlMs })).rejects.toThrow('a💥');
    const [release] = link.sent.get('release') as { failure: { message: string } }[];
    expect(Buffer.byteLength(release?.failure.message ?? '')).toBe(4_093);
    expect(release?.failure.message.endsWith('💥')).toBe(true);
  });

  it('throws its error even if the release does not get through', async () => {
    const key = freshKey();
    const onBackgroundError = vi.fn();
    const { client, link } = service.clientOverBadLink({ hooks: { onBackgroundError } });
    link.failBefore('release', down());
    const failing = () => Promise.reject(new Error('no database'));
    await expect(client.getOrRebuild(key, failing, { codec: raw, ttlMs, leaseMs: 100 })).rejects.toThrow(
      'no database',
    );
    expect(onBackgroundError).toHaveBeenCalledTimes(1);
  });
});

describe('a lease', () => {
  it('is extended while the rebuild runs', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    const rebuild = async () => {
      await vi.waitFor(() => expect(link.countOf('extend')).toBeGreaterThanOrEqual(4));
      return bytes('slow');
    };
    expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, leaseMs: 300 }))).toBe('slow');
    const { outcome } = (await client.publish({ key, token: 'none', value: null, ttlMs })) as {
      outcome: string;
    };
    expect(outcome).toBe('unknown_lease');
    expect(
      String(await service.client().getOrRebuild(key, () => bytes('again'), { codec: raw, ttlMs })),
    ).toBe('slow');
  });

  it('that is lost aborts the rebuild, which is requested again', async () => {
    const key = freshKey();
    const onLeaseLost = vi.fn();
    const client = service.client({ hooks: { onLeaseLost } });
    const reasons: unknown[] = [];
    let runs = 0;
    const rebuild = ({ signal }: { signal: AbortSignal }) => {
      runs += 1;
      if (runs === 2) return bytes('second');
      void client.invalidate({ keys: [key] });
      return new Promise<Buffer>((_, reject) =>
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          reject(signal.reason);
        }),
      );
    };
    expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, leaseMs: 300 }))).toBe(
      'second',
    );
    expect(reasons[0]).toBeInstanceOf(LeaseLostError);
    expect(onLeaseLost).toHaveBeenCalledTimes(1);
  });

  it('whose extensions are not answered is lost at its end and not before', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    link.failBefore('extend', ...Array.from({ length: 100 }, down));
    const aborted: unknown[] = [];
    let runs = 0;
    const rebuild = ({ signal }: { signal: AbortSignal }) => {
      runs += 1;
      if (runs > 1) return bytes('again');
      return new Promise<Buffer>((resolve) =>
        signal.addEventListener('abort', () => {
          aborted.push(signal.reason);
          resolve(bytes('late'));
        }),
      );
    };
    // What it returns after the loss of its lease is discarded.
    expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, leaseMs: 200 }))).toBe(
      'again',
    );
    expect(aborted).toEqual([expect.any(LeaseLostError)]);
    expect(link.countOf('extend')).toBeGreaterThanOrEqual(2);
  });

  it('survives one extension that is not answered', async () => {
    const key = freshKey();
    const { client, link } = service.clientOverBadLink();
    link.failBefore('extend', down());
    const rebuild = async ({ signal }: { signal: AbortSignal }) => {
      await vi.waitFor(() => expect(link.countOf('extend')).toBeGreaterThanOrEqual(5));
      expect(signal.aborted).toBe(false);
      return bytes('kept');
    };
    expect(String(await client.getOrRebuild(key, rebuild, { codec: raw, ttlMs, leaseMs: 600 }))).toBe('kept');
  });
});
