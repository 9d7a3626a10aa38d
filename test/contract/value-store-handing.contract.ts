import { describe, expect, test } from 'vitest';
import type { StoreTrial } from '../support/store-trial.js';

/** Giving an armed lease to its caller again, or to another caller. */
export function handingContract(current: () => StoreTrial): void {
  describe('adopt', () => {
    test('raises the owner number of the armed lease each time, and nothing else', async () => {
      const trial = current();
      const { record } = await trial.arm('n1');
      expect((await trial.store.adopt(trial.id, 'n1'))?.lease?.owner).toBe(2);
      expect((await trial.store.adopt(trial.id, 'n1'))?.lease).toMatchObject({ owner: 3, nonce: 'n1' });
      expect((await trial.read()).fence).toBe(record.fence);
      expect((await trial.read()).lease?.owner).toBe(3);
    });

    test('finds nothing if there is no record, or the nonce is not armed', async () => {
      const trial = current();
      expect(await trial.store.adopt(trial.id, 'n1')).toBeUndefined();
      expect(await trial.read()).toEqual({ fence: 0, valueFence: 0 });
      await trial.arm('n1');
      expect(await trial.store.adopt(trial.id, 'n2')).toBeUndefined();
      await trial.release('n1');
      expect(await trial.store.adopt(trial.id, 'n1')).toBeUndefined();
    });

    test('gives the lease to another caller, if no other caller got it meanwhile', async () => {
      const trial = current();
      const labels = {
        leaseMs: 7000,
        holder: 'one "ü"',
        traceparent: 'a',
        requestKey: 'k',
        reason: 'miss',
      } as const;
      const { record } = await trial.arm('n1', labels);
      const to = { ...labels, holder: 'another', traceparent: 'b', requestKey: 'l' };
      expect(await trial.store.adopt(trial.id, 'n1', { ...to, owner: 2 })).toBeUndefined();
      expect((await trial.read()).lease).toMatchObject({ ...labels, owner: 1 });
      const armed = await trial.store.adopt(trial.id, 'n1', { ...to, owner: 1 });
      expect(armed?.lease).toMatchObject({ ...to, owner: 2, nonce: 'n1', fence: record.fence });
      expect((await trial.read()).lease).toMatchObject({ ...to, owner: 2 });
      expect(await trial.store.adopt(trial.id, 'n1', { ...to, owner: 1 })).toBeUndefined();
      expect(await trial.store.adopt(trial.id, 'n2', { ...to, owner: 2 })).toBeUndefined();
      // The first caller can no longer release it.
      expect(await trial.release('n1', 1)).toBe('not_held');
      await trial.release('n1', 2);
      const { past } = await trial.store.explain(trial.id);
      expect(past.map(({ holder }) => holder)).toEqual(['another']);
    });

    test('a new lease begins with its first owner', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.store.adopt(trial.id, 'n1');
      expect((await trial.arm('n2')).record.lease?.owner).toBe(1);
    });
  });
}
