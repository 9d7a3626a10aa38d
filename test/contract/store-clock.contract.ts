import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NamespaceStore } from '../../src/coordination/ports/namespace-store.js';
import { LONG_MS, type StoreTrial, textOf } from '../support/store-trial.js';

export interface StoreWithClock {
  readonly trial: StoreTrial;
  readonly namespaces: NamespaceStore;
  /** Moves the clock to the true time plus this many seconds. */
  jumpTo(seconds: number): void;
  close(): Promise<void>;
}

const HOUR_S = 3_600;

/** What holds when the store's wall clock is set back: nothing written before lasts longer because of it. */
export function storeClockContract(start: () => Promise<StoreWithClock>): void {
  let under: StoreWithClock;
  beforeEach(async () => {
    under = await start();
  });
  afterEach(() => under.close());

  test('a dead holder does not keep its key longer, and its late publish counts while the key is free', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    await trial.arm('dead', { expiresInMs: 500 });
    under.jumpTo(0);
    expect((await trial.read()).lease?.expiresInMs).toBeLessThanOrEqual(0);
    expect((await trial.arm('next', { quorumLost: true })).armed).toBe(true);
    expect((await trial.publish('dead')).outcome).not.toBe('stored');

    const other = trial.another();
    under.jumpTo(HOUR_S);
    await other.arm('slow', { expiresInMs: 500 });
    under.jumpTo(0);
    expect((await other.publish('slow')).outcome).toBe('stored_late');
  });

  test('the next caller supersedes a dead holder, even if it read before the clock was set back', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    const { record } = await trial.arm('dead', { expiresInMs: 500, quorumLost: true });
    under.jumpTo(0);
    expect((await trial.armAsRead(record, 'next', { quorumLost: true })).armed).toBe(true);
  });

  test('a lease is extended from the new time, and no further', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    await trial.arm('n', { expiresInMs: 500 });
    under.jumpTo(0);
    const extend = {
      nonce: 'n',
      expiresInMs: 1_000,
      holdMs: LONG_MS,
      quorumLost: false,
      group: 'g',
      keepMs: LONG_MS,
    };
    const reply = await trial.store.extend(trial.id, extend);
    expect(reply).toMatchObject({ extended: true });
    expect(reply.extended ? reply.expiresInMs : 0).toBeLessThanOrEqual(1_000);
  });

  test('a value expires, and does not return when the clock reaches its time again', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    await trial.stored('n', { ttlMs: LONG_MS });
    under.jumpTo(0);
    expect(textOf(await trial.read())).toBeUndefined();
    under.jumpTo(HOUR_S + 1);
    expect(textOf(await trial.read())).toBeUndefined();
  });

  test('an invalidation does not count an expired value', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    await trial.stored('n', { ttlMs: LONG_MS });
    under.jumpTo(0);
    expect((await trial.invalidate('mark_stale')).hadValue).toBe(false);
  });

  test('a back-off ends', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    await trial.arm('n');
    const failure = { message: 'no database', retryAfterMs: 1_000, backoffMs: 1, backoffMsMax: 1 };
    await trial.store.release(trial.id, { nonce: 'n', end: 'failed', failure, keepMs: LONG_MS });
    under.jumpTo(0);
    expect((await trial.read()).failure?.retryAfterMs).toBe(0);
  });

  test('the last try of a key that fails now was not in the future, whatever its fence', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    await trial.arm('n');
    await trial.release('n');
    under.jumpTo(0);
    await trial.arm('m');
    await trial.fail('m', { retryAfterMs: LONG_MS });
    const { failure } = await trial.read();
    expect(failure?.retryAfterMs).toBeGreaterThan(0);
    // Else a refresh would not end this back-off for an hour.
    expect(failure?.triedAgoMs).toBeGreaterThanOrEqual(0);
  });

  test('a fence never goes backwards, even if its record would have expired', async () => {
    const { trial } = under;
    under.jumpTo(HOUR_S);
    // The record lasts for longer than these two steps take on a busy machine.
    const high = (await trial.arm('n', { keepMs: LONG_MS, expiresInMs: 1 })).record.fence;
    await trial.store.release(trial.id, { nonce: 'n', end: 'released', keepMs: LONG_MS });
    under.jumpTo(0);
    // These steps must not let the record expire before the clock has passed its fence.
    await trial.arm('m', { keepMs: 1, expiresInMs: 1 });
    await trial.store.release(trial.id, { nonce: 'm', end: 'released', keepMs: 1 });
    under.jumpTo(60);
    expect((await trial.arm('o')).record.fence).toBeGreaterThan(high);
  });

  describe('in a namespace', () => {
    const enter = (slot: string) =>
      under.namespaces.enter('space', { slot, max: 1, ttlMs: 1_000, ttlMsMax: 60_000 });

    test('a place becomes free', async () => {
      under.jumpTo(HOUR_S);
      expect(await enter('a')).toBe(true);
      under.jumpTo(0);
      expect(await enter('b')).toBe(true);
    });

    test('a tag that was marked stale counts as deleted', async () => {
      const { namespaces } = under;
      const { at } = await namespaces.begin('space', 2 * HOUR_S * 1_000);
      under.jumpTo(HOUR_S);
      await namespaces.invalidate('space', { tags: ['t'], all: false, mode: 'mark_stale' });
      under.jumpTo(0);
      const { stamps } = await namespaces.read('space', ['t']);
      expect(stamps[1]?.deletedAt).toBeGreaterThan(at);
    });

    test('a tag that was marked stale still counts as deleted when the clock has reached that time', async () => {
      const { namespaces } = under;
      const { at } = await namespaces.begin('space', 3 * HOUR_S * 1_000);
      under.jumpTo(HOUR_S);
      await namespaces.invalidate('space', { tags: ['t'], all: false, mode: 'mark_stale' });
      await namespaces.invalidate('space', { tags: [], all: true, mode: 'mark_stale' });
      under.jumpTo(0);
      await namespaces.read('space', ['t']);
      under.jumpTo(HOUR_S + 1);
      const { stamps } = await namespaces.read('space', ['t']);
      expect(stamps.map(({ marks }) => marks)).toEqual([[], []]);
      for (const { deletedAt } of stamps) expect(deletedAt).toBeGreaterThan(at);
    });
  });
}
