import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import {
  busyOf,
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../../support/coordination-trial.js';

describe('an attempt', () => {
  it('grants a lease with a fence, whose time is reduced by the clock drift', async () => {
    const trial = new CoordinationTrial();
    const asked = await trial.ask({ leaseMs: 1_000 });
    expect(asked.answer?.degraded).toBe('none');
    const lease = leaseOf(asked);
    expect(lease.expiresInMs).toBe(1_000 - 12);
    expect(lease.fence).toBeGreaterThan(0);
    expect(lease.previous).toBeUndefined();
  });

  it.each([
    { what: '10 s', leaseMsMin: 100, leaseMsMax: 60_000, leaseMs: 10_000 },
    { what: 'no more than lease_max_ms', leaseMsMin: 100, leaseMsMax: 9_999, leaseMs: 9_999 },
    { what: 'no less than lease_min_ms', leaseMsMin: 10_001, leaseMsMax: 60_000, leaseMs: 10_001 },
  ])('for no particular length grants $what', async ({ leaseMsMin, leaseMsMax, leaseMs }) => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, leaseMsMin, leaseMsMax };
    expect((await trial.lease()).token.leaseMs).toBe(leaseMs);
  });

  it('finds a value that was published since its read, and gives the lock back', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const gate = trial.quorum.holdBefore('acquire');
    const asked = trial.send();
    await gate.reached;
    await trial.publish((await trial.lease({}, there)).token, 'newer', {}, there);
    gate.open();
    await trial.settle();
    expect(textIn(hitOf(asked))).toBe('newer');
    expect(trial.store.countOf('arm')).toBe(2);
    await trial.invalidate();
    leaseOf(await trial.ask());
    await trial.expectRest();
  });

  it('does not supersede a lease that was armed since its read', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const gate = trial.store.holdBefore('arm');
    const late = trial.send({ leaseMs: 200 });
    await gate.reached;
    // Its lock is lost because the lock nodes stay undecided.
    trial.quorum.undecided = 4;
    await trial.pass(300);
    trial.quorum.undecided = 0;
    const lease = await trial.lease({}, there);
    gate.open();
    await trial.settle();
    expect(isWaiting(late)).toBe(true);
    expect((await trial.publish(lease.token)).outcome).toBe('stored');
    expect(textIn(hitOf(late))).toBe('a value');
    await trial.expectRest();
  });

  it('grants no lease whose time ran out during the arm and that could not be extended', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('arm');
    const asked = trial.send({ leaseMs: 200 });
    await gate.reached;
    trial.quorum.undecided = 3;
    trial.clock.advance(198);
    gate.open();
    await trial.settle();
    await trial.pass(20, 5);
    // The lease of the next attempt.
    expect(leaseOf(asked).expiresInMs).toBe(196);
    expect(trial.store.countOf('arm')).toBe(2);
    await trial.expectRest();
  });

  it('breaks the lock of a lease that an invalidation voided, even if another replica should have done so', async () => {
    const trial = new CoordinationTrial();
    await trial.lease();
    // The invalidation was stored by a replica that died before it could break the lock.
    await trial.store.invalidate(trial.key.id, { mode: 'delete', keepMs: 60_000 });
    const asked = await trial.ask();
    await trial.pass(50, 5);
    expect(leaseOf(asked).reason).toBe('invalidated');
    await trial.expectRest();
  });
});

describe('a retry of the same call', () => {
  it('gets the same lease, on any replica, while it runs', async () => {
    const trial = new CoordinationTrial();
    const first = await trial.lease({ requestId: 'r' });
    const again = leaseOf(await trial.ask({ requestId: 'r' }, new Call(), trial.replica()));
    expect(again.token).toEqual(first.token);
    expect(again.fence).toBe(first.fence);
    expect(again.owner).toBe(2);
    expect((await trial.publish(again.token)).outcome).toBe('stored');
    await trial.expectRest();
  });

  it('reports store_lost if the store does not confirm how long its lease lasts', async () => {
    const trial = new CoordinationTrial();
    await trial.lease({ requestId: 'r' });
    const gate = trial.store.holdAfter('adopt');
    const again = trial.send({ requestId: 'r' }, new Call(), trial.replica());
    await gate.reached;
    gate.open();
    trial.store.losesRepliesTo.add('extend');
    await trial.settle();
    leaseOf(again);
    expect(again.answer?.degraded).toBe('store_lost');
  });

  it('gets the value if resuming its lease takes longer than it waits', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token, 'old');
    await trial.lease({ intent: 'refresh', requestId: 'r' });
    const gate = trial.store.holdBefore('adopt');
    const again = trial.send({ requestId: 'r', waitMs: 20 }, new Call(), trial.replica());
    await gate.reached;
    await trial.pass(20, 5);
    expect(textIn(hitOf(again))).toBe('old');
    gate.open();
    await trial.expectRest();
  });

  it('is not recognized by another identity or without a request id', async () => {
    const trial = new CoordinationTrial();
    await trial.lease({ requestId: 'r' });
    const other = await trial.ask({ requestId: 'r' }, new Call('another'));
    const nameless = await trial.ask();
    expect([other, nameless].map(isWaiting)).toEqual([true, true]);
    other.call.cancel();
    nameless.call.cancel();
    await trial.expectRest();
  });

  it('keeps the lease although the first call gives it back afterwards', async () => {
    const trial = new CoordinationTrial();
    const first = await trial.lease({ requestId: 'r' });
    const again = await trial.lease({ requestId: 'r' });
    await trial.coordinator.giveBack(trial.key, first);
    expect((await trial.publish(again.token)).outcome).toBe('stored');
    await trial.expectRest();
  });

  it('gives the lease back if it is cancelled too', async () => {
    const trial = new CoordinationTrial();
    await trial.lease({ requestId: 'r' });
    const gate = trial.store.holdAfter('extend');
    const again = trial.send({ requestId: 'r' });
    await gate.reached;
    again.call.cancel();
    gate.open();
    await trial.settle();
    leaseOf(await trial.ask());
    await trial.expectRest();
  });

  it('waits if the lock nodes cannot say how long the lease lasts', async () => {
    const trial = new CoordinationTrial();
    await trial.lease({ requestId: 'r', leaseMs: 1_000 });
    trial.quorum.undecided = 1_000;
    const there = trial.replica();
    const again = await trial.ask({ requestId: 'r', waitMs: 500 }, new Call(), there);
    await trial.pass(500);
    expect(busyOf(again).reason).toBe('wait_ended');
    await trial.expectRest();
  });
});

describe('the degradation', () => {
  it('without the quorum grants leases from the store alone, one at a time over all replicas', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    trial.quorum.lost = true;
    const asked = await trial.ask();
    expect(asked.answer?.degraded).toBe('quorum_lost');
    const waiter = await trial.ask({}, new Call(), there);
    expect(isWaiting(waiter)).toBe(true);
    expect((await trial.publish(leaseOf(asked).token)).outcome).toBe('stored');
    expect(textIn(hitOf(waiter))).toBe('a value');
    await trial.expectRest();
  });

  it('does not arm a lease by the quorum while one from the store alone runs', async () => {
    const trial = new CoordinationTrial();
    trial.quorum.lost = true;
    const alone = await trial.lease({ leaseMs: 1_000 });
    trial.quorum.lost = false;
    const waiter = await trial.ask({}, new Call(), trial.replica());
    await trial.pass(900);
    expect(isWaiting(waiter)).toBe(true);
    await trial.publish(alone.token);
    hitOf(waiter);
    await trial.expectRest();
  });

  it('without the store grants a lease by the quorum, whose result feeds waiters here and is never stored', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    trial.store.down = true;
    const asked = await trial.ask();
    expect(asked.answer?.degraded).toBe('store_lost');
    expect(leaseOf(asked).fence).toBe(0);
    const here = await trial.ask();
    const yonder = await trial.ask({}, new Call(), there);
    expect([here, yonder].map(isWaiting)).toEqual([true, true]);
    trial.store.down = false;
    expect((await trial.publish(leaseOf(asked).token)).outcome).toBe('not_stored');
    expect(textIn(hitOf(here))).toBe('a value');
    await trial.pass(1_100);
    // The store holds nothing, so the caller on the other replica rebuilds, now for all replicas.
    const lease = leaseOf(yonder);
    expect(yonder.answer?.degraded).toBe('none');
    expect((await trial.publish(lease.token, 'b', {}, there)).outcome).toBe('stored');
    await trial.expectRest();
  });

  it('without the store grants READ_STORE callers a lease and never a value', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    const first = await trial.lease();
    const strict = await trial.ask({ read: 'store' });
    await trial.publish(first.token);
    await trial.pass(300, 5);
    expect(strict.answer?.outcome.kind).toBe('lease');
    await trial.expectRest();
  });

  it('without both grants one lease at a time on each replica', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    trial.quorum.lost = true;
    const asked = await trial.ask();
    expect(asked.answer?.degraded).toBe('local');
    const here = await trial.ask();
    expect(isWaiting(here)).toBe(true);
    leaseOf(await trial.ask({}, new Call(), trial.replica()));
    expect((await trial.publish(leaseOf(asked).token)).outcome).toBe('not_stored');
    expect(textIn(hitOf(here))).toBe('a value');
    await trial.expectRest();
  });

  it('without both grants no second lease while one runs that the store had armed', async () => {
    const trial = new CoordinationTrial();
    const lease = await trial.lease({ leaseMs: 1_000 });
    trial.store.down = true;
    trial.quorum.lost = true;
    const waiter = await trial.ask();
    expect(isWaiting(waiter)).toBe(true);
    expect((await trial.publish(lease.token)).outcome).toBe('not_stored');
    expect(textIn(hitOf(waiter))).toBe('a value');
    await trial.expectRest();
  });

  it('grants the same unstored lease again to a retry', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    const first = await trial.lease({ requestId: 'r' });
    const again = await trial.lease({ requestId: 'r' });
    expect(again.token).toEqual(first.token);
    await trial.coordinator.giveBack(trial.key, first);
    expect(isWaiting(await trial.ask({ waitMs: 100 }))).toBe(true);
    await trial.coordinator.giveBack(trial.key, again);
    await trial.pass(100);
    await trial.expectRest();
  });

  it('leaves nothing armed if the reply to the arm was lost', async () => {
    const trial = new CoordinationTrial();
    trial.store.losesRepliesTo.add('arm');
    const asked = await trial.ask();
    expect(asked.answer?.degraded).toBe('store_lost');
    expect((await trial.publish(leaseOf(asked).token)).outcome).toBe('not_stored');
    trial.store.losesRepliesTo.clear();
    leaseOf(await trial.ask());
    await trial.expectRest();
  });

  it.each([
    [
      'the quorum',
      (trial: CoordinationTrial) => {
        trial.quorum.lost = true;
      },
    ],
    [
      'the store',
      (trial: CoordinationTrial) => {
        trial.store.down = true;
      },
    ],
    [
      'the store between read and arm',
      (trial: CoordinationTrial) => {
        trial.store.losesRepliesTo.add('arm');
      },
    ],
  ])('is refused by a namespace with on_loss: fail when %s is lost', async (_what, lose) => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    lose(trial);
    const asked = await trial.ask();
    expect(asked.error).toMatchObject({ kind: 'unavailable', message: /on_loss is fail/ });
    trial.quorum.lost = false;
    trial.store.down = false;
    trial.store.losesRepliesTo.clear();
    leaseOf(await trial.ask());
    await trial.expectRest();
  });

  it('serves hits to a namespace with on_loss: fail while the store has them', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    await trial.publish((await trial.lease()).token);
    trial.quorum.lost = true;
    expect(textIn(hitOf(await trial.ask()))).toBe('a value');
    await trial.expectRest();
  });

  it('reports each of its steps', async () => {
    const trial = new CoordinationTrial();
    trial.quorum.lost = true;
    await trial.release((await trial.lease()).token);
    trial.quorum.lost = false;
    await trial.release((await trial.lease()).token);
    expect(trial.told('degraded')).toEqual([
      ['none', []],
      ['quorum_lost', []],
      ['none', []],
    ]);
  });
});
