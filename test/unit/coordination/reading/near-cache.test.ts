import { describe, expect, it } from 'vitest';
import { NearCache } from '../../../../src/coordination/reading/near-cache.js';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';
import { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { CoordinationTrial, hitOf, isWaiting, leaseOf, textIn } from '../../../support/coordination-trial.js';

const snapshotOf = (bytes: number, fence = 5): Snapshot => ({
  record: {
    fence,
    valueFence: fence,
    value: {
      payload: { kind: 'value', bytes: new Uint8Array(bytes) },
      ...{ freshForMs: 1_000, servableForMs: 3_000, staleMs: 2_000, ageMs: 0, fence, clock: 'c.1', tags: [] },
    },
  },
  ...{ readAtMs: 0, arrivals: 0, sentAt: 0, from: 'store' },
});
const [a, b, c, other] = [keyOf('s', 'a'), keyOf('s', 'b'), keyOf('s', 'c'), keyOf('t', 'a')];

describe('the near cache', () => {
  it('keeps values up to its bound in bytes, and drops the least recently used first', () => {
    const near = new NearCache(6_500);
    for (const key of [a, b]) near.fill(key, snapshotOf(1_000));
    near.get(a.id);
    near.fill(c, snapshotOf(1_000));
    expect(
      [near.get(a.id), near.get(b.id), near.get(c.id)].map((snapshot) => snapshot !== undefined),
    ).toEqual([true, false, true]);
    expect(near.bytes).toBeLessThanOrEqual(6_500);
    near.fill(b, snapshotOf(10_000));
    expect(near.get(b.id)).toBeUndefined();
    expect(near.get(a.id)).toBeDefined();
  });

  it('keeps no failure, voided nonce or last end of a record, because it does not count their bytes', () => {
    const near = new NearCache(100_000);
    const { record, ...rest } = snapshotOf(1);
    const failure = {
      message: 'm'.repeat(1_000),
      fence: 1,
      retryAfterMs: 0,
      count: 1,
      triedAgoMs: 0,
      clock: '',
    };
    near.fill(a, { ...rest, record: { ...record, failure, voidedNonce: 'n', lastEnd: 'published' } });
    expect(near.get(a.id)?.record).toEqual(record);
  });

  it('of 0 bytes keeps nothing', () => {
    const near = new NearCache(0);
    near.fill(a, snapshotOf(0));
    expect([near.get(a.id), near.bytes]).toEqual([undefined, 0]);
  });

  it('frees the bytes of what it drops', () => {
    const near = new NearCache(100_000);
    near.fill(a, snapshotOf(100));
    near.fill(a, snapshotOf(200));
    near.fill(other, snapshotOf(100));
    near.dropNamespace('s');
    expect(near.get(a.id)).toBeUndefined();
    expect(near.get(other.id)).toBeDefined();
    near.changed(other.id, 6);
    expect(near.bytes).toBe(0);
    near.fill(a, snapshotOf(100));
    near.clear();
    expect(near.bytes).toBe(0);
  });

  it('keeps the value that a wake announces, and drops an older one', () => {
    const near = new NearCache(100_000);
    near.fill(a, snapshotOf(1, 5));
    near.changed(a.id, 5);
    expect(near.get(a.id)).toBeDefined();
    near.changed(a.id, 6);
    expect(near.get(a.id)).toBeUndefined();
  });

  it('drops values with an invalidated tag in that namespace, and keeps the rest', () => {
    const near = new NearCache(100_000);
    const tagged = (...tags: string[]): Snapshot => {
      const snapshot = snapshotOf(1);
      const value = snapshot.record.value && { ...snapshot.record.value, tags };
      return { ...snapshot, record: { ...snapshot.record, value } as Snapshot['record'] };
    };
    near.fill(a, tagged('red', 'blue'));
    near.fill(b, tagged('blue'));
    near.fill(c, tagged());
    near.fill(other, tagged('red'));
    near.dropTags('s', ['red', 'green']);
    expect([a, b, c, other].map(({ id }) => near.get(id) !== undefined)).toEqual([false, true, true, true]);
    near.dropTags('s', ['blue']);
    near.drop(c.id);
    near.dropNamespace('t');
    expect(near.bytes).toBe(0);
  });

  it('returns a value as stale for the rest of its time', () => {
    const near = new NearCache(100_000);
    near.fill(a, snapshotOf(1));
    expect(near.stale(a.id, 2_000)).toMatchObject({ freshForMs: 0, servableForMs: 1_000 });
    expect(near.stale(a.id, 3_000)).toBeUndefined();
    expect(near.stale(b.id, 0)).toBeUndefined();
  });
});

describe('a replica with a near cache', () => {
  /** With a value in its near cache. */
  async function filled(staleMs = 0) {
    const trial = new CoordinationTrial();
    trial.nearCacheBytes = 100_000;
    const replica = trial.replica();
    const { token } = await trial.lease();
    trial.clock.advance(100);
    await trial.publish(token, 'old', { ttlMs: 60_000, staleMs });
    await trial.settle();
    const ask = (request = {}) => trial.ask(request, new Call(), replica);
    hitOf(await ask());
    const reads = () => trial.store.countOf('read');
    return { trial, replica, ask, reads };
  }

  it('serves hits without any request', async () => {
    const { trial, ask, reads } = await filled();
    const before = [reads(), trial.namespaces.asked.length];
    trial.clock.advance(10_000);
    expect(hitOf(await ask())).toMatchObject({ freshForMs: 50_000, rebuilding: false });
    expect([reads(), trial.namespaces.asked.length]).toEqual(before);
    expect(trial.told('answered').at(-1)).toEqual(['trial', 'hit', 'none']);
  });

  it('sends the store nothing while another tag is invalidated twenty times a second', async () => {
    const { trial, replica, ask, reads } = await filled();
    const before = [reads(), trial.namespaces.countOf('read')];
    const hot = { namespace: 'trial', keys: [], tags: ['hot'], all: false, mode: 'delete' } as const;
    for (let at = 0; at < 20 * 30; at++) {
      // By another replica, and by this one.
      await (at % 2 === 0 ? trial.coordinator : replica).invalidate(hot, new Call());
      trial.clock.advance(50);
      if (at % 10 === 0) expect(textIn(hitOf(await ask()))).toBe('old');
    }
    expect([reads(), trial.namespaces.countOf('read')]).toEqual(before);
  });

  it('reads the store for READ_STORE, and grants a lease for a refresh', async () => {
    const { ask, reads } = await filled();
    const before = reads();
    expect(textIn(hitOf(await ask({ read: 'store' })))).toBe('old');
    expect(reads()).toBe(before + 1);
    leaseOf(await ask({ intent: 'refresh' }));
  });

  it('serves no value that has expired', async () => {
    const { trial, ask } = await filled();
    trial.clock.advance(60_000);
    leaseOf(await ask());
  });

  it('drops a value that is published or invalidated elsewhere, when its wake comes', async () => {
    const { trial, ask } = await filled();
    const { token } = await trial.lease({ intent: 'refresh' });
    await trial.publish(token, 'new');
    expect(textIn(hitOf(await ask()))).toBe('new');
    await trial.invalidate();
    leaseOf(await ask());
  });

  it('does not keep what was read before a change of the key', async () => {
    const { trial, ask, replica } = await filled();
    await trial.invalidate();
    await trial.publish((await trial.lease()).token, 'second');
    const gate = trial.store.holdAfter('read');
    const early = trial.send({}, new Call(), replica);
    await gate.reached;
    await trial.invalidate();
    gate.open();
    await trial.settle();
    // It was sent before the invalidation, so it may get the old value. No later caller may.
    hitOf(early);
    leaseOf(await ask());
  });

  it('serves its values as stale while the store is lost, except to callers that forbid that', async () => {
    const { trial, ask } = await filled();
    trial.wakes.live = false;
    trial.store.down = true;
    const first = await ask();
    expect(leaseOf(first).fence).toBe(0);
    expect(hitOf(await ask())).toMatchObject({ freshForMs: 0, rebuilding: true });
    const forbids = await ask({ stale: 'forbid' });
    const strict = await ask({ read: 'store' });
    expect([isWaiting(forbids), isWaiting(strict)]).toEqual([true, true]);
  });

  it('reads the store while the wake channel is down', async () => {
    const { trial, ask, reads } = await filled();
    trial.wakes.live = false;
    const before = reads();
    hitOf(await ask());
    expect(reads()).toBe(before + 1);
  });

  it('grants the lease to a caller that is drawn for an early refresh', async () => {
    const { trial, ask } = await filled();
    trial.policy = { ...trial.policy, earlyRefreshBeta: 1e12 };
    trial.clock.advance(59_000);
    expect(leaseOf(await ask()).reason).toBe('early_refresh');
  });

  it('draws once for each caller, so that refreshes are as frequent as the formula says', async () => {
    const { trial, ask } = await filled();
    trial.policy = { ...trial.policy, earlyRefreshBeta: 1 };
    // Rebuilds take 100 ms. With ln 2 of that left, every second caller is drawn.
    trial.clock.advance(60_000 - 100 * Math.LN2);
    let drawn = 0;
    for (let at = 0; at < 400; at += 1) {
      hitOf(await ask({ intent: 'read' }));
      const asked = await ask();
      if (asked.answer?.outcome.kind !== 'lease') continue;
      drawn += 1;
      await trial.release(leaseOf(asked).token);
    }
    // Five standard deviations to each side. Two draws for each caller would give a quarter.
    expect(drawn / 400).toBeGreaterThan(0.375);
    expect(drawn / 400).toBeLessThan(0.625);
  });
});
