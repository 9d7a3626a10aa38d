import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import type { GetOrLock } from '../../../../src/coordination/words/requests.js';
import {
  type Asked,
  busyOf,
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../../support/coordination-trial.js';

describe('a caller that leaves', () => {
  it.each([
    ['before the vote', (trial: CoordinationTrial) => trial.quorum.holdBefore('acquire')],
    ['after the vote', (trial: CoordinationTrial) => trial.quorum.holdAfter('acquire')],
    ['before the arm', (trial: CoordinationTrial) => trial.store.holdBefore('arm')],
    ['after the arm', (trial: CoordinationTrial) => trial.store.holdAfter('arm')],
  ])('%s leaves nothing behind, and the next caller gets the lease at once', async (_when, hold) => {
    const trial = new CoordinationTrial();
    const gate = hold(trial);
    const gone = trial.send();
    await gate.reached;
    const next = trial.send();
    gone.call.cancel();
    gate.open();
    await trial.settle();
    expect(gone.error).toMatchObject({ kind: 'unavailable' });
    await trial.pass(20, 5);
    await trial.publish(leaseOf(next).token);
    await trial.expectRest();
  });

  it.each([
    ['after the vote', (trial: CoordinationTrial) => trial.quorum.holdAfter('acquire')],
    ['before the arm', (trial: CoordinationTrial) => trial.store.holdBefore('arm')],
    ['after the arm', (trial: CoordinationTrial) => trial.store.holdAfter('arm')],
  ])('%s leaves its lease to the next caller, without another vote or a release', async (_when, hold) => {
    const trial = new CoordinationTrial();
    const gate = hold(trial);
    const gone = trial.send({ requestId: 'gone' });
    await gate.reached;
    const all = [trial.send({ holder: 'the next' }), trial.send()];
    gone.call.cancel();
    gate.open();
    await trial.settle();
    const [next, last] = all as [Asked, Asked];
    const lease = leaseOf(next);
    expect([trial.quorum.countOf('acquire'), trial.quorum.released.length]).toEqual([1, 0]);
    expect([trial.store.countOf('arm'), trial.store.countOf('release')]).toEqual([1, 0]);
    expect((await trial.coordinator.explain(trial.key)).lease?.holder).toBe('the next');
    // A retry of the call that left: the lease is no longer its own.
    const again = await trial.ask({ requestId: 'gone' });
    expect([last, again].every(isWaiting)).toBe(true);
    await trial.publish(lease.token);
    expect([textIn(hitOf(last)), textIn(hitOf(again))]).toEqual(['a value', 'a value']);
    await trial.expectRest();
  });

  it('together with others leaves its lease to the first that stays', async () => {
    const trial = new CoordinationTrial();
    const arming = trial.store.holdAfter('arm');
    const first = trial.send();
    await arming.reached;
    const [second, third] = [trial.send(), trial.send()];
    first.call.cancel();
    const handing = trial.store.holdAfter('adopt');
    arming.open();
    await handing.reached;
    second.call.cancel();
    handing.open();
    await trial.settle();
    expect(leaseOf(third).owner).toBe(3);
    await trial.publish(leaseOf(third).token);
    await trial.expectRest();
  });

  it.each<[string, Partial<GetOrLock>, Call]>([
    ['of another identity', {}, new Call('another')],
    ['that asks for another length', { leaseMs: 5_000 }, new Call()],
    ['that only reads', { intent: 'read', waitMs: 0 }, new Call()],
  ])('does not leave its lease to a caller %s', async (_whom, request, call) => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('arm');
    const gone = trial.send();
    await gate.reached;
    const next = trial.send(request, call);
    gone.call.cancel();
    gate.open();
    await trial.settle();
    await trial.pass(20, 5);
    expect([trial.store.countOf('adopt'), trial.store.countOf('release')]).toEqual([0, 1]);
    if (request.intent === 'read') busyOf(next);
    else await trial.publish(leaseOf(next).token);
    await trial.expectRest();
  });

  it('but retries on another replica keeps the lease that it got there', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('arm');
    const gone = trial.send({ requestId: 'once' });
    await gate.reached;
    const there = trial.replica();
    const again = leaseOf(await trial.ask({ requestId: 'once' }, new Call(), there));
    const next = trial.send();
    gone.call.cancel();
    gate.open();
    await trial.settle();
    expect(isWaiting(next)).toBe(true);
    expect(trial.quorum.released).toEqual([]);
    await trial.publish(again.token, 'a value', {}, there);
    await trial.pass(20, 5);
    expect(textIn(hitOf(next))).toBe('a value');
    await trial.expectRest();
  });

  it('leaves its lease to no caller if the store no longer answers', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('arm');
    const gone = trial.send({ leaseMs: 500 });
    await gate.reached;
    const next = trial.send({ leaseMs: 500 });
    gone.call.cancel();
    const handing = trial.store.holdBefore('adopt');
    gate.open();
    await handing.reached;
    trial.store.down = true;
    handing.open();
    await trial.settle();
    trial.store.down = false;
    expect(isWaiting(next)).toBe(true);
    // The lease ends with its time.
    await trial.pass(1_500, 50);
    await trial.publish(leaseOf(next).token);
    await trial.expectRest();
  });

  it('at any turn between grant and answer leaves no lease behind', async () => {
    let left = 0;
    for (let turns = 0; turns < 60; turns += 1) {
      const trial = new CoordinationTrial();
      const gate = trial.store.holdAfter('arm');
      const gone = trial.send();
      await gate.reached;
      gate.open();
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      gone.call.cancel();
      await trial.settle();
      if (gone.answer?.outcome.kind === 'lease') {
        // The answer has left the room, and its sender checks the call once more.
        await trial.coordinator.giveBack(trial.key, leaseOf(gone));
      } else left += 1;
      leaseOf(await trial.ask({ waitMs: 0 }));
      await trial.expectRest();
    }
    expect(left).toBeGreaterThan(5);
    expect(left).toBeLessThan(60);
  });

  it('before the answer is sent has its lease given back, and the next caller is woken', async () => {
    const trial = new CoordinationTrial();
    const lease = await trial.lease();
    const next = await trial.ask();
    await trial.coordinator.giveBack(trial.key, lease);
    await trial.settle();
    leaseOf(next);
    await trial.expectRest();
  });
});
