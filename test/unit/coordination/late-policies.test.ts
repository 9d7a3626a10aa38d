import { describe, expect, it } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import {
  busyOf,
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../support/coordination-trial.js';

// The policies `on_loss` and `on_late` while the store or the lock nodes are late.

describe('a namespace', () => {
  it('with on_loss: fail returns an error within a second, whether or not the caller waits', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    trial.store.hang();
    const asked = [await trial.ask({ waitMs: 10_000 }), await trial.ask({ waitMs: 0 })];
    await trial.pass(1_000, 50);
    for (const { error } of asked) expect(error).toMatchObject({ kind: 'unavailable' });
  });

  it('with on_loss: fail retries lock nodes that are only late, and returns an error within a second', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    trial.quorum.lost = true;
    trial.quorum.late = true;
    const [asked, promptly] = [await trial.ask({ waitMs: 10_000 }), await trial.ask({ waitMs: 0 })];
    expect(busyOf(promptly).reason).toBe('undecided');
    await trial.pass(700);
    expect(isWaiting(asked)).toBe(true);
    trial.quorum.lost = false;
    await trial.pass(300);
    const { token } = leaseOf(asked);
    expect(asked.answer?.degraded).toBe('none');
    // A lease keeps its time too, although they are late.
    trial.quorum.lost = true;
    expect(await trial.extend(token)).toMatchObject({ outcome: 'extended' });
    await trial.release(token);
    const told = await trial.ask({ waitMs: 10_000 });
    await trial.pass(1_200);
    expect(told.error).toMatchObject({ kind: 'unavailable', message: /lock nodes.*on_loss is fail/ });
    trial.quorum.lost = false;
    await trial.expectRest();
  });

  it.each([
    ['on_loss: fail', { onLoss: 'fail' }],
    ['on_late: degrade', { onLate: 'degrade' }],
  ] as const)(
    'with %s does not treat a read or publish that waits for its turn as late',
    async (_what, policy) => {
      const trial = new CoordinationTrial();
      trial.policy = { ...trial.policy, ...policy };
      const read = trial.store.holdTurn('read');
      const asked = await trial.ask();
      await trial.pass(3_000);
      expect(isWaiting(asked)).toBe(true);
      read.open();
      await trial.settle();
      const { token, fence } = leaseOf(asked);
      expect([fence > 0, asked.answer?.degraded]).toEqual([true, 'none']);
      const publish = trial.store.holdTurn('publish');
      const publishing = trial.publish(token);
      await trial.pass(3_000);
      publish.open();
      expect((await publishing).outcome).toBe('stored');
      await trial.expectRest();
    },
  );

  it.each([
    ['on_loss: fail', { onLoss: 'fail' }],
    ['on_late: degrade', { onLate: 'degrade' }],
  ] as const)('with %s does not wait behind other reads of a late store', async (_what, policy) => {
    const trial = new CoordinationTrial();
    trial.store.hang();
    const before = await trial.ask();
    const read = trial.store.holdTurn('read');
    trial.policy = { ...trial.policy, ...policy };
    const asked = await trial.ask({ key: keyOf('trial', 'another key') });
    await trial.pass(1_000);
    expect([isWaiting(before), isWaiting(asked)]).toEqual([true, false]);
    read.open();
    trial.store.resume();
    await trial.settle();
  });

  it('with on_late: degrade goes on without the store at the soft timeout', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, onLate: 'degrade' };
    trial.store.hang();
    const asked = await trial.ask();
    await trial.pass(290);
    expect(isWaiting(asked)).toBe(true);
    await trial.pass(20);
    expect([leaseOf(asked).fence, asked.answer?.degraded]).toEqual([0, 'store_lost']);
    const waiter = await trial.ask();
    await trial.pass(350);
    expect((await trial.publish(leaseOf(asked).token)).outcome).toBe('not_stored');
    expect(textIn(hitOf(waiter))).toBe('a value');
  });

  it('with on_late: degrade does not decide alone while the store is only late, even without the quorum', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, onLate: 'degrade' };
    trial.store.hang();
    trial.quorum.lost = true;
    const asked = await trial.ask();
    await trial.pass(2_000, 50);
    expect(isWaiting(asked)).toBe(true);
  });
});
