import { describe, expect, test } from 'vitest';
import { LONG_MS, SHORT_MS, type StoreTrial, textOf } from '../support/store-trial.js';

/** Dropping values, marking them stale, and voiding their rebuilds. */
export function invalidationContract(current: () => StoreTrial): void {
  describe.each(['delete', 'mark_stale'] as const)('invalidate by %s', (mode) => {
    test('creates a record with a fence for a key without one, and sends a wake with it', async () => {
      const trial = current();
      expect(await trial.invalidate(mode)).toEqual({ fence: expect.any(Number), hadValue: false });
      const record = await trial.read();
      expect(record).toEqual({ fence: record.fence, valueFence: 0, lastEnd: 'invalidated' });
      expect(record.fence).toBeGreaterThan(0);
      expect(await trial.wakes()).toEqual([{ kind: 'invalidated', fence: record.fence }]);
    });

    test("raises the fence each time, above the value's", async () => {
      const trial = current();
      const stored = await trial.stored('n1');
      await trial.invalidate(mode);
      const first = (await trial.read()).fence;
      await trial.invalidate(mode);
      const second = (await trial.read()).fence;
      expect(first).toBeGreaterThan(stored);
      expect(second).toBeGreaterThan(first);
      expect((await trial.read()).valueFence).toBe(stored);
      expect(await trial.wakes()).toEqual([
        { kind: 'published', fence: stored },
        { kind: 'invalidated', fence: first },
        { kind: 'invalidated', fence: second },
      ]);
    });

    test('voids the armed lease and names its nonce, even after its end', async () => {
      const trial = current();
      await trial.arm('n1');
      expect(await trial.invalidate(mode)).toEqual({
        fence: expect.any(Number),
        hadValue: false,
        voidedNonce: 'n1',
      });
      const record = await trial.read();
      expect(record).toMatchObject({ voidedNonce: 'n1', lastEnd: 'invalidated' });
      expect(record.lease).toBeUndefined();
      await trial.arm('n2', { expiresInMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect(await trial.invalidate(mode)).toEqual({
        fence: expect.any(Number),
        hadValue: false,
        voidedNonce: 'n2',
      });
    });

    test('names no nonce if no lease is armed, and keeps the one that was voided before', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.invalidate(mode);
      expect(await trial.invalidate(mode)).toEqual({ fence: expect.any(Number), hadValue: false });
      expect((await trial.read()).voidedNonce).toBe('n1');
      await trial.arm('n2');
      expect((await trial.read()).voidedNonce).toBe('n1');
      await trial.publish('n2');
      await trial.arm('n3');
      await trial.invalidate(mode);
      expect((await trial.read()).voidedNonce).toBe('n3');
    });

    test('makes the store refuse to arm a lease whose read was before it', async () => {
      const trial = current();
      const { fence, valueFence } = await trial.read();
      await trial.invalidate(mode);
      expect((await trial.arm('n1', { fenceRead: fence, valueFenceRead: valueFence })).armed).toBe(false);
      expect((await trial.arm('n1')).armed).toBe(true);
    });

    test('counts a value only while it can be served', async () => {
      const trial = current();
      await trial.stored('n1', { ttlMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect(await trial.invalidate(mode)).toEqual({ fence: expect.any(Number), hadValue: false });
      await trial.stored('n2', { ttlMs: 1, staleMs: LONG_MS });
      await trial.under.pass(SHORT_MS);
      expect(await trial.invalidate(mode)).toEqual({ fence: expect.any(Number), hadValue: true });
    });

    test('ends the back-off of a failure, and keeps its count for the next one', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.fail('n1', { backoffMs: LONG_MS, backoffMsMax: 4 * LONG_MS });
      expect((await trial.read()).failure?.retryAfterMs).toBeGreaterThan(0);
      await trial.invalidate(mode);
      expect((await trial.read()).failure).toMatchObject({ message: 'n1 failed', count: 1, retryAfterMs: 0 });
      await trial.arm('n2');
      await trial.fail('n2', { backoffMs: LONG_MS, backoffMsMax: 4 * LONG_MS });
      const { failure } = await trial.read();
      expect(failure?.count).toBe(2);
      expect(failure?.retryAfterMs).toBeGreaterThan(1.5 * LONG_MS);
    });

    test('forgets the record after keepMs', async () => {
      const trial = current();
      await trial.stored('n1');
      await trial.store.invalidate(trial.id, { mode, keepMs: SHORT_MS });
      await trial.under.pass(3 * SHORT_MS);
      expect(await trial.read()).toEqual({ fence: 0, valueFence: 0 });
    });
  });

  describe('invalidate by delete', () => {
    test('drops the value, fresh or stale', async () => {
      const trial = current();
      await trial.stored('n1', { staleMs: LONG_MS });
      expect(await trial.invalidate('delete')).toEqual({ fence: expect.any(Number), hadValue: true });
      expect((await trial.read()).value).toBeUndefined();
      expect(await trial.invalidate('delete')).toEqual({ fence: expect.any(Number), hadValue: false });
    });
  });

  describe('invalidate by mark_stale', () => {
    test('leaves the value stale for its stale_ms from now', async () => {
      const trial = current();
      await trial.stored('n1', { ttlMs: 3 * LONG_MS, staleMs: LONG_MS });
      expect(await trial.invalidate('mark_stale')).toEqual({ fence: expect.any(Number), hadValue: true });
      const { value } = await trial.read();
      expect(value?.freshForMs).toBe(0);
      expect(value?.servableForMs).toBeLessThanOrEqual(LONG_MS);
      expect(value?.servableForMs).toBeGreaterThan(LONG_MS - 20_000);
      expect(textOf(await trial.read())).toBe('a value');
    });

    test('does not change the end of a value that is already stale', async () => {
      const trial = current();
      await trial.stored('n1', { ttlMs: 1, staleMs: LONG_MS });
      await trial.under.pass(SHORT_MS);
      const before = (await trial.read()).value?.servableForMs ?? 0;
      await trial.invalidate('mark_stale');
      await trial.invalidate('mark_stale');
      const { value } = await trial.read();
      expect(value?.freshForMs).toBe(0);
      expect(value?.servableForMs).toBeLessThanOrEqual(before);
      expect(value?.servableForMs).toBeGreaterThan(before - 20_000);
    });

    test('does not prolong the value by a second mark', async () => {
      const trial = current();
      await trial.stored('n1', { ttlMs: LONG_MS, staleMs: 5 * SHORT_MS });
      await trial.invalidate('mark_stale');
      await trial.under.pass(3 * SHORT_MS);
      await trial.invalidate('mark_stale');
      await trial.under.pass(3 * SHORT_MS);
      expect((await trial.read()).value).toBeUndefined();
    });

    test('drops a value that has no stale time', async () => {
      const trial = current();
      await trial.stored('n1', { ttlMs: LONG_MS, staleMs: 0 });
      expect(await trial.invalidate('mark_stale')).toEqual({ fence: expect.any(Number), hadValue: true });
      expect((await trial.read()).value).toBeUndefined();
    });

    test('keeps an absent value absent', async () => {
      const trial = current();
      await trial.stored('n1', { payload: { kind: 'absent' }, staleMs: LONG_MS });
      await trial.invalidate('mark_stale');
      expect((await trial.read()).value?.payload).toEqual({ kind: 'absent' });
    });
  });
}
