import { describe, expect, test } from 'vitest';
import { freshNonce } from '../support/fresh-nonce.js';
import { inRounds } from '../support/rounds.js';
import { LONG_MS, SHORT_MS, SHORTS_MS, type StoreTrial, textOf, textValue } from '../support/store-trial.js';

/** Publishing and releasing. */
export function resultContract(current: () => StoreTrial): void {
  describe('publish', () => {
    test('stores the value, ends the lease, and sends one wake with its fence', async () => {
      const trial = current();
      const { fence } = (await trial.arm('n1')).record;
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'stored', fence });
      const record = await trial.read();
      expect(record).toMatchObject({ fence, valueFence: fence, lastEnd: 'published', value: { fence } });
      expect(textOf(record)).toBe('a value');
      expect(record.lease).toBeUndefined();
      expect(await trial.wakes()).toEqual([{ kind: 'published', fence }]);
    });

    test('compares the whole nonce, including the identity after the dot', async () => {
      const trial = current();
      const nonce = freshNonce();
      const { fence } = (await trial.arm(nonce)).record;
      expect((await trial.read()).lease?.nonce).toBe(nonce);
      const [secret = ''] = nonce.split('.');
      for (const other of [`${secret}.another`, secret, nonce.slice(0, -1)]) {
        expect((await trial.publish(other, { fence })).outcome).not.toMatch(/stored/);
        expect(await trial.release(other)).toBe('not_held');
        expect(await trial.extend(other, LONG_MS)).toMatchObject({ extended: false });
      }
      expect((await trial.store.adopt(trial.id, nonce))?.lease).toMatchObject({ nonce, owner: 2 });
      expect(await trial.extend(nonce, LONG_MS)).toMatchObject({ extended: true });
      expect(await trial.publish(nonce, { fence })).toEqual({ outcome: 'stored', fence });
      expect((await trial.publish(nonce, { fence })).outcome).toBe('duplicate');
      await trial.arm(nonce);
      expect(await trial.invalidate()).toMatchObject({ voidedNonce: nonce });
    });

    test('learns the rebuild time of the key, as mean and deviation of its rebuilds', async () => {
      const trial = current();
      expect((await trial.read()).rebuild).toBeUndefined();
      let expected: { meanMs: number; deviationMs: number } | undefined;
      for (const [at, ms] of [40, 90, 10].entries()) {
        await trial.arm(`n${at}`);
        await trial.under.pass(ms);
        await trial.publish(`n${at}`);
        const { rebuild } = await trial.read();
        // The mean shows how long the last rebuild took. The deviation must follow from the same time.
        const meanMs = rebuild?.meanMs ?? 0;
        const tookMs = expected === undefined ? meanMs : expected.meanMs + (meanMs - expected.meanMs) * 8;
        // Timers may fire a part of a millisecond early by another clock.
        expect(tookMs).toBeGreaterThanOrEqual(ms - 1);
        const deviationMs =
          expected === undefined
            ? tookMs / 2
            : expected.deviationMs + (Math.abs(tookMs - expected.meanMs) - expected.deviationMs) / 4;
        expect(rebuild?.deviationMs).toBeCloseTo(deviationMs, 1);
        expected = { meanMs, deviationMs };
      }
      await trial.invalidate();
      expect((await trial.read()).rebuild?.meanMs).toBeCloseTo(expected?.meanMs ?? 0, 1);
    });

    test('can be read at the latest when its wake arrives', async () => {
      const trial = current();
      await trial.arm('n1');
      const seen = new Promise((resolve) => {
        trial.under.channel.listen({
          wake: ({ id }) => id === trial.id && resolve(trial.read().then(textOf)),
          namespaceWake() {},
          resubscribed() {},
          disconnected() {},
        });
      });
      await trial.publish('n1');
      expect(await seen).toBe('a value');
    });

    test('keeps bytes unchanged, and distinguishes an empty value from an absent one', async () => {
      const trial = current();
      const bytes = Uint8Array.from({ length: 512 }, (_, at) => at % 256);
      await trial.stored('n1', { payload: { kind: 'value', bytes } });
      const { value } = await trial.read();
      expect(value?.payload.kind === 'value' && [...value.payload.bytes]).toEqual([...bytes]);
      await trial.stored('n2', { payload: textValue('') });
      expect(textOf(await trial.read())).toBe('');
      await trial.stored('n3', { payload: { kind: 'absent' } });
      expect(textOf(await trial.read())).toBe('absent');
      await trial.stored('n4', { payload: textValue('') });
      expect((await trial.read()).value?.payload.kind).toBe('value');
    });

    test('stores only the bytes of a view on a larger buffer', async () => {
      const trial = current();
      const bytes = new TextEncoder().encode('xxcutxx').subarray(2, 5);
      await trial.stored('n1', { payload: { kind: 'value', bytes } });
      expect(textOf(await trial.read())).toBe('cut');
    });

    test('stores a value of 1 MiB', async () => {
      const trial = current();
      const bytes = new Uint8Array(1_048_576).fill(0xff);
      await trial.stored('n1', { payload: { kind: 'value', bytes } });
      const { value } = await trial.read();
      expect(value?.payload.kind === 'value' && Buffer.compare(value.payload.bytes, bytes)).toBe(0);
    });

    test('is a duplicate the second time, changes nothing and sends no wake', async () => {
      const trial = current();
      const fence = await trial.stored('n1');
      const again = await trial.publish('n1', { fence, payload: textValue('another') });
      expect(again).toEqual({ outcome: 'duplicate', fence });
      expect(textOf(await trial.read())).toBe('a value');
      expect(await trial.wakes()).toHaveLength(1);
    });

    test('is a duplicate even if the value is gone or the next lease runs', async () => {
      const trial = current();
      const fence = await trial.stored('n1');
      await trial.arm('n2');
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'duplicate', fence });
      await trial.invalidate();
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'duplicate', fence: 0 });
    });

    test('is stored late after the end of the lease, if no other lease was armed since', async () => {
      const trial = current();
      const { fence } = (await trial.arm('n1', { expiresInMs: SHORT_MS })).record;
      await trial.under.pass(2 * SHORT_MS);
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'stored_late', fence });
      expect(textOf(await trial.read())).toBe('a value');
      expect(await trial.wakes()).toHaveLength(1);
    });

    test('stores nothing for a superseded lease, whatever fence it names', async () => {
      const trial = current();
      const kept = await trial.stored('n0');
      const { fence } = (await trial.arm('n1')).record;
      const later = (await trial.arm('n2')).record.fence;
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'superseded', fence: kept });
      // A paused holder with a forged fence, equal to the record's or higher. Only the nonce counts.
      expect((await trial.publish('n1', { fence: later })).outcome).toBe('unknown_lease');
      expect((await trial.publish('n1', { fence: later + 1 })).outcome).toBe('unknown_lease');
      expect(await trial.read()).toMatchObject({ valueFence: kept, lease: { nonce: 'n2' } });
      expect(await trial.wakes()).toHaveLength(1);
    });

    test('is stored with the armed nonce, whatever fence it names', async () => {
      const trial = current();
      const { fence } = (await trial.arm('n1')).record;
      expect(await trial.publish('n1', { fence: 1 })).toEqual({ outcome: 'stored', fence });
    });

    test('reports `invalidated` for a voided lease, even after later leases', async () => {
      const trial = current();
      const { fence } = (await trial.arm('n1')).record;
      await trial.invalidate();
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'invalidated', fence: 0 });
      expect((await trial.read()).value).toBeUndefined();
      const later = await trial.stored('n2', { payload: textValue('newer') });
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'invalidated', fence: later });
      expect(textOf(await trial.read())).toBe('newer');
    });

    test('stores nothing if there is no record', async () => {
      const trial = current();
      expect(await trial.publish('n1', { fence: 7 })).toEqual({ outcome: 'unknown_lease', fence: 0 });
      expect(await trial.read()).toEqual({ fence: 0, valueFence: 0 });
    });

    test('reports `unknown_lease` after a release', async () => {
      const trial = current();
      const { fence } = (await trial.arm('n1')).record;
      await trial.release('n1');
      expect(await trial.publish('n1', { fence })).toEqual({ outcome: 'unknown_lease', fence: 0 });
      expect((await trial.read()).value).toBeUndefined();
    });

    test('returns the fence of the servable value when it refuses, and 0 if there is none', () =>
      inRounds(SHORTS_MS, async (shortMs) => {
        const trial = current().another();
        const fence = await trial.stored('n1', { ttlMs: 5 * shortMs });
        expect(await trial.publish('garbage', { fence })).toEqual({ outcome: 'unknown_lease', fence });
        await trial.under.pass(6 * shortMs);
        expect(await trial.publish('garbage', { fence })).toEqual({ outcome: 'unknown_lease', fence: 0 });
        trial.close();
      }));

    test('clears the failure', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.fail('n1');
      await trial.stored('n2');
      expect((await trial.read()).failure).toBeUndefined();
      await trial.arm('n3');
      await trial.fail('n3');
      expect((await trial.read()).failure?.count).toBe(1);
    });
  });

  describe('release', () => {
    test('ends the armed lease once, with the given end, and sends a wake', async () => {
      const trial = current();
      const { fence } = (await trial.arm('n1')).record;
      const end = { nonce: 'n1', end: 'session_lost' as const, keepMs: LONG_MS };
      expect(await trial.store.release(trial.id, end)).toBe('released');
      const record = await trial.read();
      expect(record).toEqual({ fence, valueFence: 0, lastEnd: 'session_lost' });
      expect(await trial.store.release(trial.id, end)).toBe('not_held');
      expect(await trial.wakes()).toEqual([{ kind: 'released', fence }]);
    });

    test('ends an expired lease', async () => {
      const trial = current();
      await trial.arm('n1', { expiresInMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect(await trial.release('n1')).toBe('released');
    });

    test('changes no other lease and no value, and creates no record', async () => {
      const trial = current();
      expect(await trial.release('n1')).toBe('not_held');
      expect(await trial.read()).toEqual({ fence: 0, valueFence: 0 });
      await trial.stored('n1');
      await trial.arm('n2');
      expect(await trial.release('n1')).toBe('not_held');
      expect(await trial.fail('n1')).toBe('not_held');
      const record = await trial.read();
      expect(record.lease?.nonce).toBe('n2');
      expect(record.failure).toBeUndefined();
      expect(textOf(record)).toBe('a value');
      expect(await trial.wakes()).toHaveLength(1);
    });

    test('with an owner ends the lease only if no later caller has adopted it', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.store.adopt(trial.id, 'n1');
      expect(await trial.release('n1', 1)).toBe('not_held');
      expect(await trial.release('n1', 3)).toBe('not_held');
      expect((await trial.read()).lease?.owner).toBe(2);
      expect(await trial.release('n1', 2)).toBe('released');
    });

    test('without an owner ends the lease of any owner', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.store.adopt(trial.id, 'n1');
      expect(await trial.release('n1')).toBe('released');
    });

    test('with a failure stores the failure, with its lease and the requested back-off', async () => {
      const trial = current();
      const { fence } = (await trial.arm('n1')).record;
      expect(await trial.fail('n1', { retryAfterMs: LONG_MS })).toBe('released');
      const { failure, lastEnd } = await trial.read();
      expect(failure).toMatchObject({ message: 'n1 failed', fence, count: 1, clock: 'clock.1' });
      expect(failure?.triedAgoMs).toBeGreaterThanOrEqual(0);
      expect(failure?.triedAgoMs).toBeLessThan(LONG_MS);
      expect(failure?.retryAfterMs).toBeLessThanOrEqual(LONG_MS);
      expect(failure?.retryAfterMs).toBeGreaterThan(LONG_MS - 20_000);
      expect(lastEnd).toBe('failed');
      expect(await trial.wakes()).toEqual([{ kind: 'failed', fence }]);
    });

    test('is kept in the history of the key, up to a number and a total length', async () => {
      const past = async (trial: StoreTrial) => (await trial.store.explain(trial.id)).past;
      const [short, long] = [current().another(), current().another()];
      for (let at = 0; at < 20; at++) {
        await short.arm(`n${at}`, { holder: `${at}` });
        await short.store.release(short.id, { nonce: `n${at}`, end: 'released', keepMs: LONG_MS });
        await long.arm(`n${at}`, { holder: `${at} ${'h'.repeat(250)}` });
        await long.fail(`n${at}`);
      }
      expect((await past(short)).map(({ holder }) => holder)).toEqual(
        Array.from({ length: 16 }, (_, at) => `${19 - at}`),
      );
      const kept = await past(long);
      expect(kept.length).toBeGreaterThan(3);
      expect(kept.length).toBeLessThan(7);
      for (const [at, { holder }] of kept.entries()) expect(holder).toMatch(`${19 - at} h`);
      short.close();
      long.close();
    });

    test.each([
      ['plain', "host:123 of \u00fcbung, {'leaseMs':1} %s"],
      ['quoted', 'a "holder" {"leaseMs":1,"holder":"other"}'],
      ['escaped', 'back\\slash, \n a line and \u0001'],
      ['empty', ''],
    ])('is kept in the history with its holder unchanged: %s', async (_how, holder) => {
      const trial = current();
      await trial.arm('n1', { holder });
      await trial.publish('n1');
      await trial.arm('n2', { holder });
      await trial.fail('n2');
      const { past } = await trial.store.explain(trial.id);
      expect(past.map((lease) => [lease.holder, lease.end])).toEqual([
        [holder, 'failed'],
        [holder, 'published'],
      ]);
      expect(past[0]?.failure).toBe('n2 failed');
      expect(past[1]?.fence).toBeGreaterThan(0);
    });

    test('with a failure and retryAfterMs 0 stores the failure without a back-off', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.fail('n1', { retryAfterMs: 0 });
      expect((await trial.read()).failure).toMatchObject({ retryAfterMs: 0, count: 1 });
    });

    test('doubles the back-off for each consecutive failure, up to its bound', async () => {
      const trial = current();
      const backoffs: number[] = [];
      for (const nonce of ['n1', 'n2', 'n3', 'n4']) {
        await trial.arm(nonce);
        await trial.fail(nonce, { backoffMs: 100_000, backoffMsMax: 350_000 });
        const { failure } = await trial.read();
        backoffs.push(Math.ceil((failure?.retryAfterMs ?? 0) / 50_000));
      }
      expect(backoffs).toEqual([2, 4, 7, 7]);
      expect((await trial.read()).failure?.count).toBe(4);
    });

    test('without a failure does not change the previous failure', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.fail('n1');
      await trial.arm('n2');
      await trial.release('n2');
      expect((await trial.read()).failure).toMatchObject({ message: 'n1 failed', count: 1 });
    });

    test('starts a back-off that counts down to 0 and not below, and keeps the failure', async () => {
      const trial = current();
      await trial.arm('n1');
      await trial.fail('n1', { retryAfterMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect((await trial.read()).failure).toMatchObject({ retryAfterMs: 0, message: 'n1 failed' });
    });
  });
}
