import { describe, expect, it } from 'vitest';
import { Call } from '../../../src/coordination/words/call.js';
import {
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
  receivedToken,
  textIn,
} from '../../support/coordination-trial.js';

describe('a publish', () => {
  it('is stored with the fence of its lease, and its repetition is a duplicate', async () => {
    const trial = new CoordinationTrial();
    const { token, fence } = await trial.lease();
    expect(await trial.publish(token)).toEqual({ outcome: 'stored', fence, counts: true });
    expect(await trial.publish(token, 'other')).toEqual({ outcome: 'duplicate', fence, counts: true });
    expect(textIn(hitOf(await trial.ask()))).toBe('a value');
  });

  it('distinguishes an empty value from an absent one', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token, '');
    expect(hitOf(await trial.ask()).payload).toEqual({ kind: 'value', bytes: new Uint8Array() });
    await trial.publish((await trial.lease({ intent: 'refresh' })).token, '', {
      payload: { kind: 'absent' },
    });
    expect(hitOf(await trial.ask()).payload).toEqual({ kind: 'absent' });
  });

  it('after the end of its lease is STORED_LATE, or SUPERSEDED if a later lease was granted', async () => {
    const trial = new CoordinationTrial();
    const late = await trial.lease({ leaseMs: 200 });
    await trial.pass(300);
    expect((await trial.publish(late.token, 'late')).outcome).toBe('stored_late');
    const tooLate = await trial.lease({ leaseMs: 200, intent: 'refresh' });
    await trial.pass(300);
    const other = await trial.lease({ intent: 'refresh' });
    expect(await trial.publish(tooLate.token, 'too late')).toEqual({
      outcome: 'superseded',
      fence: late.fence,
    });
    await trial.publish(other.token, 'in time');
    expect(textIn(hitOf(await trial.ask()))).toBe('in time');
  });

  it('that is refused feeds no waiter', async () => {
    const trial = new CoordinationTrial();
    const tooLate = await trial.lease({ leaseMs: 200 });
    await trial.pass(300);
    const other = await trial.lease({ leaseMs: 9_000 });
    const waiter = await trial.ask();
    expect((await trial.publish(tooLate.token, 'refused')).outcome).toBe('superseded');
    await trial.settle();
    expect(isWaiting(waiter)).toBe(true);
    await trial.publish(other.token, 'in time');
    await trial.settle();
    expect(textIn(hitOf(waiter))).toBe('in time');
  });

  it('of a lease that the store does not know stores nothing', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const { token: foreign } = await new CoordinationTrial().lease();
    expect((await trial.publish(foreign)).outcome).not.toBe('stored');
    expect((await trial.publish(undefined)).outcome).toBe('unknown_lease');
    expect((await trial.publish(token)).outcome).toBe('stored');
  });

  it('is sent again if its reply is lost, and then reports that it was stored', async () => {
    const trial = new CoordinationTrial();
    const { token, fence } = await trial.lease();
    const gate = trial.store.holdAfter('publish');
    trial.store.losesRepliesTo.add('publish');
    const published = trial.publish(token);
    await gate.reached;
    gate.open();
    await Promise.resolve();
    // The reply to the second request arrives.
    queueMicrotask(() => trial.store.losesRepliesTo.clear());
    expect(await published).toEqual({ outcome: 'stored', fence, counts: true });
    expect(trial.store.countOf('publish')).toBe(2);
  });

  it('counts the ttl from when it was sent: a late reply does not extend it', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const [waiter, strict] = [await trial.ask(), await trial.ask({ stale: 'forbid' })];
    const gate = trial.store.holdAfter('publish');
    trial.wakes.silent = true;
    const published = trial.publish(token, 'v', { ttlMs: 500, staleMs: 500 });
    await gate.reached;
    trial.clock.advance(200);
    gate.open();
    await published;
    for (const caller of [waiter, strict]) expect(hitOf(caller)).toMatchObject({ freshForMs: 300 });
  });

  it('whose first reply was lost makes waiters read, because it may have been stored long ago', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    trial.wakes.silent = true;
    // An earlier call of the holder stored the value, and its replies were lost.
    trial.store.losesRepliesTo.add('publish');
    expect((await trial.publish(token, 'v', { ttlMs: 500 })).outcome).toBe('not_stored');
    const gate = trial.store.holdAfter('publish');
    trial.clock.advance(300);
    const reading = trial.store.holdBefore('read');
    const waiter = trial.send({ stale: 'forbid' }, new Call());
    await reading.reached;
    const again = trial.publish(token, 'v', { ttlMs: 500 });
    await gate.reached;
    const second = trial.store.holdBefore('publish');
    gate.open();
    await second.reached;
    trial.store.losesRepliesTo.clear();
    second.open();
    expect((await again).outcome).toBe('stored');
    await trial.settle();
    expect(isWaiting(waiter)).toBe(true);
    reading.open();
    await trial.settle();
    expect(hitOf(waiter).freshForMs).toBeLessThanOrEqual(200);
  });

  /** A replica with an old value in its near cache and a lease to replace it, which receives no wakes. */
  async function replacing() {
    const trial = new CoordinationTrial();
    trial.nearCacheBytes = 100_000;
    const here = trial.replica();
    const ask = () => trial.ask({ waitMs: 0 }, new Call(), here);
    await trial.publish((await trial.lease({}, here)).token, 'old', {}, here);
    expect(textIn(hitOf(await ask()))).toBe('old');
    const { token } = await trial.lease({ intent: 'refresh' }, here);
    trial.wakes.silent = true;
    return { trial, here, ask, token };
  }

  it('drops the replaced value before it asks whether the new one counts', async () => {
    const { trial, here, ask, token } = await replacing();
    trial.wakes.live = false;
    const gate = trial.namespaces.holdBefore('read');
    const published = trial.publish(token, 'new', {}, here);
    await gate.reached;
    trial.wakes.live = true;
    const asked = trial.send({ waitMs: 0 }, new Call(), here);
    await trial.settle();
    gate.open();
    await published;
    expect(asked.answer?.outcome.kind === 'hit' && textIn(hitOf(asked))).not.toBe('old');
    expect(textIn(hitOf(await ask()))).toBe('new');
  });

  it('drops the replaced value before it makes the tag clock last as long as the new one', async () => {
    const { trial, here, ask, token } = await replacing();
    const gate = trial.namespaces.holdBefore('begin');
    const published = trial.publish(token, 'new', { ttlMs: 100 * 86_400_000 }, here);
    await gate.reached;
    await trial.settle();
    expect(textIn(hitOf(await ask()))).toBe('new');
    gate.open();
    expect(await published).toMatchObject({ outcome: 'stored' });
  });

  it("of another identity's lease returns UNKNOWN_LEASE, and the lease goes on", async () => {
    const trial = new CoordinationTrial();
    const { token } = leaseOf(await trial.ask({}, new Call('checkout')));
    const publish = (identity: string, said = token) =>
      trial.coordinator.publish(
        {
          key: trial.key,
          token: receivedToken(identity, trial.key, said),
          payload: { kind: 'absent' },
          ttlMs: 1_000,
          tags: [],
        },
        new Call(identity),
      );
    const unknown = { outcome: 'unknown_lease', fence: 0 };
    expect(await publish('search')).toEqual(unknown);
    expect(await publish('')).toEqual(unknown);
    // A caller that writes its own name into the nonce has another nonce, and the store compares all of it.
    expect(
      (await publish('search', { ...token, nonce: token.nonce.replace('.checkout', '.search') })).outcome,
    ).not.toMatch(/stored/);
    expect(trial.coordinator.leasesHeld).toBe(1);
    expect((await publish('checkout')).outcome).toBe('stored');
  });

  it('without the store is NOT_STORED and no error, and feeds waiters here', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const waiter = await trial.ask();
    trial.store.down = true;
    expect(await trial.publish(token)).toEqual({ outcome: 'not_stored', fence: 0, maybeStored: true });
    expect(textIn(hitOf(waiter))).toBe('a value');
    await trial.expectRest();
  });

  it('reports why it was not stored, with the size of its value', async () => {
    const trial = new CoordinationTrial();
    const ask = async () => (await trial.lease()).token;
    const whys = () => trial.told('published').map(([, outcome, , , why]) => [outcome, why]);
    const reply = { cause: 'reply', why: 'the store is down', valueBytes: 7 };
    const token = await ask();
    trial.store.down = true;
    await trial.publish(token);
    trial.store.untaken = true;
    const unstored = await ask();
    await trial.publish(unstored);
    trial.store.down = false;
    await trial.pass(61_000, 1_000);
    const other = await ask();
    trial.store.down = true;
    expect(await trial.publish(other)).toEqual({ outcome: 'not_stored', fence: 0, maybeStored: false });
    expect(whys()).toEqual([
      ['not_stored', reply],
      ['not_stored', { cause: 'lease', why: '', valueBytes: 7 }],
      ['not_stored', { ...reply, cause: 'store' }],
    ]);
  });

  it('may be stored if its first reply was lost, even if the second is a refusal', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    trial.store.losesRepliesTo.add('publish');
    const gate = trial.store.holdAfter('publish');
    const publishing = trial.publish(token);
    await trial.settle();
    trial.store.down = true;
    trial.store.untaken = true;
    gate.open();
    expect(await publishing).toEqual({ outcome: 'not_stored', fence: 0, maybeStored: true });
    expect(trial.told('published')[0]?.[4]).toMatchObject({ cause: 'reply', why: 'the reply was lost' });
  });

  it('without the store feeds no caller if another replica granted the lease, which may have been voided', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const { token } = await trial.lease({ leaseMs: 500 }, there);
    const waiter = await trial.ask();
    trial.store.down = true;
    expect((await trial.publish(token)).outcome).toBe('not_stored');
    expect(leaseOf(waiter).fence).toBe(0);
    await trial.expectRest();
  });

  it('does not wait for the lock nodes', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const gate = trial.quorum.holdBefore('release');
    expect((await trial.publish(token)).outcome).toBe('stored');
    expect(trial.quorum.countOf('release')).toBe(1);
    gate.open();
    await trial.expectRest();
  });

  it('takes stale_ms from the namespace if the request has none', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, staleMs: 5_000 };
    await trial.publish((await trial.lease()).token, 'old', { ttlMs: 100 });
    trial.clock.advance(4_000);
    expect(hitOf(await trial.ask({ intent: 'read' })).freshForMs).toBe(0);
    await trial.publish((await trial.lease()).token, 'new', { ttlMs: 100, staleMs: 0 });
    trial.clock.advance(100);
    leaseOf(await trial.ask());
  });

  it('reports every outcome, and once how long the rebuild took', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    trial.clock.advance(70);
    await trial.publish(token);
    await trial.publish(token);
    await trial.publish(undefined);
    expect(trial.told('published')).toEqual([
      ['trial', 'stored', 70, '', undefined],
      ['trial', 'duplicate', undefined, '', undefined],
      ['trial', 'unknown_lease', undefined, ''],
    ]);
    expect(trial.told('leaseEnded')).toEqual([]);
    expect(trial.coordinator.leasesHeld).toBe(0);
  });

  it('on another replica ends the lease on the one that granted it', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const { token } = await trial.lease({}, there);
    expect(there.leasesHeld).toBe(1);
    trial.clock.advance(70);
    await trial.publish(token);
    expect(there.leasesHeld).toBe(0);
    expect(trial.told('leaseEnded')).toEqual([['trial', 'published', 70, '']]);
  });
});
