import { describe, expect, it, vi } from 'vitest';
import { runningMs } from '../../../test/support/running-ms.js';
import { Callers } from '../src/callers.js';
import { LeaseLostError } from '../src/errors.js';
import { afterRunning } from '../src/running-time.js';
import { FakeService, lease } from './fake-service.js';
import { deferred } from './service.js';

describe('callers of one result', () => {
  it('leave nothing on it when they leave before it is there', async () => {
    const { promise } = deferred<string>();
    const then = vi.spyOn(promise, 'then');
    const callers = new Callers();
    const signal = AbortSignal.timeout(10);
    const all = Array.from({ length: 100 }, () => callers.wait(promise, { signal }));
    expect((await Promise.allSettled(all)).every(({ status }) => status === 'rejected')).toBe(true);
    expect(then).toHaveBeenCalledTimes(1);
  });

  it('all get it, or its failure', async () => {
    for (const error of [undefined, new LeaseLostError()]) {
      const { promise, resolve, reject } = deferred<string>();
      const callers = new Callers();
      const left = new AbortController();
      const leaving = callers.wait(promise, { signal: left.signal });
      leaving.catch(() => {});
      const { signal } = new AbortController();
      const staying = [0, 1].map(() => callers.wait(promise, { signal }));
      for (const one of staying) one.catch(() => {});
      left.abort(new Error('left'));
      if (error === undefined) resolve('v');
      else reject(error);
      await expect(leaving).rejects.toThrow('left');
      const ends = await Promise.allSettled(staying);
      for (const end of ends) {
        expect(end).toMatchObject(error === undefined ? { value: 'v' } : { reason: error });
      }
      expect(callers.signal.aborted).toBe(false);
    }
  });
});

describe('a caller of a result that others already have', () => {
  it('gets it too', async () => {
    const callers = new Callers();
    const result = Promise.resolve('v');
    const { signal } = new AbortController();
    expect(await callers.wait(result, { signal })).toBe('v');
    expect(await callers.wait(result, { signal })).toBe('v');
  });
});

describe('a failed rebuild', () => {
  it('gives its caller the error although the release of its lease hangs', async () => {
    const fake = await FakeService.start();
    fake.will('getOrLock', lease('t'));
    fake.will('release', 'never');
    try {
      const rebuild = () => Promise.reject(new Error('down'));
      const tookMs = await runningMs(async () => {
        const call = fake.client({ session: false }).getOrRebuild('k', rebuild, { ttlMs: 1_000 });
        await expect(call).rejects.toThrow('down');
      });
      expect(tookMs).toBeLessThan(4_000);
    } finally {
      fake.stop();
    }
  });
});

describe('the time that a process has run', () => {
  it('is counted without keeping the process alive', () => {
    // Only timers that keep it alive are listed.
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const cancel = afterRunning(60_000, () => {});
    expect(timers()).toBe(before);
    cancel();
  });
});
