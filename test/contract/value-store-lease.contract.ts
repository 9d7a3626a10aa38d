import { describe, expect, test } from 'vitest';
import { inRounds } from '../support/rounds.js';
import { LONG_MS, SHORT_MS, SHORTS_MS, type StoreTrial, textOf } from '../support/store-trial.js';

const SHORT_EXTEND = {
  nonce: 'n2',
  expiresInMs: 1,
  holdMs: 86_400_000,
  quorumLost: false,
  group: 'g',
  keepMs: 1,
};

/** Reading, arming and extending. */
export function leaseContract(current: () => StoreTrial): void {
  describe('read', () => {
    test('returns an empty record for an unknown key', async () => {
      expect(await current().read()).toEqual({ fence: 0, valueFence: 0 });
    });

    test('returns the armed lease with all its labels', async () => {
      const trial = current();
      const { record } = await trial.arm('n1', {
        leaseMs: 7000,
        holder: 'host "ü"',
        traceparent: '00-ab-cd-01',
        requestKey: 'me\0id',
        reason: 'early_refresh',
      });
      const { lease, fence } = await trial.read();
      expect(lease).toEqual({
        nonce: 'n1',
        fence: record.fence,
        expiresInMs: expect.any(Number),
        leaseMs: 7000,
        ageMs: expect.any(Number),
        holder: 'host "ü"',
        traceparent: '00-ab-cd-01',
        reason: 'early_refresh',
        requestKey: 'me\0id',
        owner: 1,
        quorumLost: false,
      });
      expect(fence).toBe(record.fence);
      expect(lease?.expiresInMs).toBeLessThanOrEqual(LONG_MS);
      expect(lease?.expiresInMs).toBeGreaterThan(LONG_MS - 20_000);
      expect(lease?.ageMs).toBeGreaterThanOrEqual(0);
      expect(lease?.ageMs).toBeLessThan(20_000);
    });

    test('returns an expired lease until it is ended', async () => {
      const trial = current();
      await trial.arm('n1', { expiresInMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect((await trial.read()).lease?.expiresInMs).toBeLessThanOrEqual(0);
      await trial.release('n1');
      expect((await trial.read()).lease).toBeUndefined();
    });

    test('counts a value down to stale and to expired, and keeps its fence', async () => {
      const trial = current();
      const fence = await trial.stored('n1', { ttlMs: LONG_MS, staleMs: LONG_MS });
      const { value } = await trial.read();
      expect(value?.freshForMs).toBeLessThanOrEqual(LONG_MS);
      expect(value?.freshForMs).toBeGreaterThan(LONG_MS - 20_000);
      expect(value?.servableForMs).toBeCloseTo((value?.freshForMs ?? 0) + LONG_MS, 1);
      expect(value?.fence).toBe(fence);

      await trial.stored('n2', { ttlMs: SHORT_MS, staleMs: LONG_MS });
      await trial.under.pass(2 * SHORT_MS);
      const stale = await trial.read();
      expect(stale.value).toMatchObject({ freshForMs: 0 });
      expect(stale.value?.servableForMs).toBeGreaterThan(0);
      expect(stale.value?.ageMs).toBeGreaterThanOrEqual(2 * SHORT_MS - 1);

      const last = await trial.stored('n3', { ttlMs: SHORT_MS, staleMs: 0 });
      await trial.under.pass(2 * SHORT_MS);
      expect(await trial.read()).toMatchObject({ fence: last, valueFence: last, lastEnd: 'published' });
      expect((await trial.read()).value).toBeUndefined();
    });

    test('forgets the whole record keepMs after the last end in it, and not before', async () => {
      const trial = current();
      await trial.arm('n1', { expiresInMs: SHORT_MS, keepMs: LONG_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect((await trial.read()).lease?.nonce).toBe('n1');
      await trial.publish('n1', { ttlMs: SHORT_MS, staleMs: SHORT_MS, keepMs: SHORT_MS });
      await trial.under.pass(4 * SHORT_MS);
      expect(await trial.read()).toEqual({ fence: 0, valueFence: 0 });
    });

    test('extends a lease up to holdMs after it was armed, and no further', () =>
      inRounds(SHORTS_MS, async (shortMs) => {
        const trial = current().another();
        await trial.arm('n1', { expiresInMs: shortMs });
        const extend = { ...SHORT_EXTEND, nonce: 'n1', expiresInMs: LONG_MS, holdMs: 2 * shortMs };
        const reply = await trial.store.extend(trial.id, { ...extend, keepMs: LONG_MS });
        expect(reply.extended && reply.expiresInMs).toBeLessThanOrEqual(2 * shortMs);
        await trial.under.pass(3 * shortMs);
        expect((await trial.store.extend(trial.id, extend)).extended).toBe(false);
        trial.close();
      }));

    test('keeps a value until it expires, whatever short leases come and go', async () => {
      const steps: ((trial: StoreTrial) => Promise<unknown>)[] = [
        () => Promise.resolve(),
        ({ store, id }) => store.extend(id, SHORT_EXTEND),
        ({ store, id }) => store.release(id, { nonce: 'n2', end: 'released', keepMs: 1 }),
      ];
      for (const step of steps) {
        const trial = current().another();
        await trial.stored('n1', { ttlMs: LONG_MS, keepMs: 1 });
        await trial.arm('n2', { expiresInMs: 1, keepMs: 1 });
        await step(trial);
        await trial.under.pass(SHORT_MS);
        expect(textOf(await trial.read())).toBe('a value');
        trial.close();
      }
    });

    test('keeps a lease until its end, although its value ends before', async () => {
      const trial = current();
      await trial.stored('n1', { ttlMs: 1 });
      await trial.arm('n2', { keepMs: 1 });
      await trial.under.pass(SHORT_MS);
      expect((await trial.read()).lease?.nonce).toBe('n2');
      await trial.store.extend(trial.id, SHORT_EXTEND);
      await trial.under.pass(SHORT_MS);
      expect((await trial.read()).lease?.nonce).toBe('n2');
    });

    test('keeps a back-off until its end, whatever follows', async () => {
      const failure = { message: 'no', retryAfterMs: LONG_MS, backoffMs: 1, backoffMsMax: 1 };
      const steps: ((trial: StoreTrial) => Promise<unknown>)[] = [
        () => Promise.resolve(),
        (trial) => trial.arm('n2', { expiresInMs: 1, keepMs: 1 }),
        (trial) => trial.store.extend(trial.id, SHORT_EXTEND),
        ({ store, id }) => store.release(id, { nonce: 'n2', end: 'released', keepMs: 1 }),
      ];
      for (let last = 0; last < steps.length; last++) {
        const trial = current().another();
        await trial.arm('n1', { keepMs: 1 });
        await trial.store.release(trial.id, { nonce: 'n1', end: 'failed', failure, keepMs: 1 });
        for (const step of steps.slice(0, last + 1)) await step(trial);
        await trial.under.pass(SHORT_MS);
        expect((await trial.read()).failure?.message).toBe('no');
        trial.close();
      }
    });
  });

  describe('arm', () => {
    test('arms without a record, with a fence in microseconds', async () => {
      const { armed, record } = await current().arm('n1');
      expect(armed).toBe(true);
      expect(record.fence).toBeGreaterThan(0);
      expect(Number.isSafeInteger(record.fence)).toBe(true);
      expect(record.lease).toMatchObject({ nonce: 'n1', fence: record.fence });
      expect(record.lastEnd).toBeUndefined();
    });

    test('gives every lease a higher fence, however fast leases follow', async () => {
      const trial = current();
      const fences: number[] = [];
      for (let lease = 0; lease < 50; lease++) {
        fences.push((await trial.arm(`n${lease}`)).record.fence);
        await trial.release(`n${lease}`);
      }
      for (const [at, fence] of fences.entries()) expect(fence).toBeGreaterThan(fences[at - 1] ?? 0);
    });

    test('arms the same nonce again with the same fence, without prolonging the lease', async () => {
      const trial = current();
      const first = await trial.arm('n1', { expiresInMs: LONG_MS / 2, fenceRead: 0 });
      const again = await trial.arm('n1', { expiresInMs: LONG_MS, fenceRead: 0 });
      expect(again.armed).toBe(true);
      expect(again.record.fence).toBe(first.record.fence);
      expect(again.record.lease?.expiresInMs).toBeLessThanOrEqual(LONG_MS / 2);
    });

    test('refuses a delayed arm of a nonce whose lease has ended', async () => {
      const trial = current();
      await trial.arm('n1', { fenceRead: 0 });
      await trial.release('n1');
      expect(await trial.arm('n1', { fenceRead: 0 })).toMatchObject({ armed: false });
      expect((await trial.read()).lease).toBeUndefined();
    });

    test('refuses if another lease was armed since the read, and returns it', async () => {
      const trial = current();
      const { record } = await trial.arm('n1');
      const late = await trial.arm('n2', { fenceRead: 0 });
      expect(late).toMatchObject({ armed: false, record: { fence: record.fence, lease: { nonce: 'n1' } } });
      expect((await trial.publish('n1')).outcome).toBe('stored');
    });

    test('refuses if the fence differs from the one read, even if it is lower', async () => {
      const trial = current();
      const { record } = await trial.arm('n1');
      await trial.release('n1');
      expect((await trial.arm('n2', { fenceRead: record.fence + 1 })).armed).toBe(false);
      expect((await trial.arm('n2', { fenceRead: record.fence - 1 })).armed).toBe(false);
      expect((await trial.arm('n2', { fenceRead: record.fence })).armed).toBe(true);
    });

    test('refuses if the lease that the read returned has published since', async () => {
      const trial = current();
      const seen = (await trial.arm('n1')).record;
      await trial.publish('n1', { fence: seen.fence });
      // The fence is the one that was read. Only the value's fence has changed.
      const late = await trial.arm('n2', { fenceRead: seen.fence, valueFenceRead: seen.valueFence });
      expect(late.armed).toBe(false);
      expect(late.record.valueFence).toBe(seen.fence);
    });

    test('supersedes an expired lease, which ends as expired and can no longer publish', async () => {
      const trial = current();
      const old = await trial.arm('n1', { expiresInMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      const { armed, record } = await trial.arm('n2');
      expect({ armed, lastEnd: record.lastEnd }).toEqual({ armed: true, lastEnd: 'expired' });
      expect((await trial.publish('n1', { fence: old.record.fence })).outcome).toBe('superseded');
    });

    test('supersedes a running lease of the quorum, because the majority has let it go', async () => {
      const trial = current();
      await trial.arm('n1');
      expect(await trial.arm('n2')).toMatchObject({ armed: true, record: { lease: { nonce: 'n2' } } });
    });

    test('does not supersede a lease given by the store alone until its end', () =>
      inRounds(SHORTS_MS, async (shortMs) => {
        const trial = current().another();
        await trial.arm('n1', { quorumLost: true, expiresInMs: 5 * shortMs });
        const record = { lease: { nonce: 'n1', quorumLost: true } };
        expect(await trial.arm('n2')).toMatchObject({ armed: false, record });
        await trial.under.pass(6 * shortMs);
        expect((await trial.arm('n2')).armed).toBe(true);
        trial.close();
      }));

    test('arms no lease by the store alone while any lease runs', () =>
      inRounds(SHORTS_MS, async (shortMs) => {
        const trial = current().another();
        await trial.arm('n1', { expiresInMs: 5 * shortMs });
        expect((await trial.arm('n2', { quorumLost: true })).armed).toBe(false);
        await trial.under.pass(6 * shortMs);
        const record = { lease: { quorumLost: true } };
        expect(await trial.arm('n2', { quorumLost: true })).toMatchObject({ armed: true, record });
        trial.close();
      }));

    test('returns the rest of the record with an armed lease', async () => {
      const trial = current();
      const fence = await trial.stored('n1');
      const { armed, record } = await trial.arm('n2');
      const { valueFence, lastEnd } = record;
      expect({ armed, valueFence, lastEnd }).toEqual({
        armed: true,
        valueFence: fence,
        lastEnd: 'published',
      });
      expect(record.rebuild).toBeDefined();
    });

    test('arms over a value and keeps the value, which can be served meanwhile', async () => {
      const trial = current();
      await trial.stored('n1');
      const { record } = await trial.arm('n2');
      expect(record).not.toHaveProperty('value');
      expect(textOf(await trial.read())).toBe('a value');
      expect(record.valueFence).toBeLessThan(record.fence);
    });

    test('sends no wake', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.arm('n2', { fenceRead: 1 });
      expect(await trial.wakes()).toEqual([]);
    });
  });

  describe('extend', () => {
    test('prolongs the lease, and never shortens it', async () => {
      const trial = current();
      await trial.arm('n1', { expiresInMs: LONG_MS });
      const longer = await trial.extend('n1', 2 * LONG_MS);
      expect(longer).toEqual({ extended: true, expiresInMs: 2 * LONG_MS });
      const kept = await trial.extend('n1', SHORT_MS);
      expect(kept.extended && kept.expiresInMs).toBeGreaterThan(2 * LONG_MS - 20_000);
      expect((await trial.read()).lease?.expiresInMs).toBeGreaterThan(2 * LONG_MS - 20_000);
    });

    test('revives an expired lease that is not superseded', async () => {
      const trial = current();
      await trial.arm('n1', { expiresInMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect(await trial.extend('n1', LONG_MS)).toEqual({ extended: true, expiresInMs: LONG_MS });
      expect((await trial.publish('n1')).outcome).toBe('stored');
    });

    test('sets and clears quorumLost', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.extend('n1', LONG_MS, true);
      expect((await trial.read()).lease?.quorumLost).toBe(true);
      expect((await trial.arm('n2')).armed).toBe(false);
      await trial.extend('n1', LONG_MS, false);
      expect((await trial.read()).lease?.quorumLost).toBe(false);
      expect((await trial.arm('n2')).armed).toBe(true);
    });

    test('fails for a nonce that is not armed: unknown, superseded, released or voided', async () => {
      const trial = current();
      const lost = { extended: false };
      expect(await trial.extend('n1', LONG_MS)).toEqual(lost);
      expect(await trial.read()).toEqual({ fence: 0, valueFence: 0 });
      await trial.arm('n1');
      await trial.arm('n2');
      expect(await trial.extend('n1', LONG_MS)).toEqual(lost);
      await trial.release('n2');
      expect(await trial.extend('n2', LONG_MS)).toEqual(lost);
      await trial.arm('n3');
      await trial.invalidate();
      expect(await trial.extend('n3', LONG_MS)).toEqual(lost);
    });

    test('changes neither fence nor owner, and sends no wake', async () => {
      const trial = current();
      const { record } = await trial.arm('n1');
      await trial.store.adopt(trial.id, 'n1');
      await trial.extend('n1', LONG_MS);
      expect(await trial.read()).toMatchObject({ fence: record.fence, lease: { owner: 2 } });
      expect(await trial.wakes()).toEqual([]);
    });
  });
}
