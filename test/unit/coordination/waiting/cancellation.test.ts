import { describe, expect, it } from 'vitest';
import { CoordinationTrial, leaseOf } from '../../../support/coordination-trial.js';

describe('a caller that goes', () => {
  it.each([
    ['before the vote', (trial: CoordinationTrial) => trial.quorum.holdBefore('acquire')],
    ['after the vote', (trial: CoordinationTrial) => trial.quorum.holdAfter('acquire')],
    ['before the arming', (trial: CoordinationTrial) => trial.store.holdBefore('arm')],
    ['after the arming', (trial: CoordinationTrial) => trial.store.holdAfter('arm')],
  ])('%s leaves nothing behind, and the next gets the lease at once', async (_when, hold) => {
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

  it('at any turn between its grant and its answer leaves no lease behind', async () => {
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
        // It has left this room, and its sender reads once more.
        await trial.coordinator.giveBack(trial.key, leaseOf(gone));
      } else left += 1;
      leaseOf(await trial.ask({ waitMs: 0 }));
      await trial.expectRest();
    }
    expect(left).toBeGreaterThan(5);
    expect(left).toBeLessThan(60);
  });

  it('before the answer is sent has its lease given back, and the next is woken', async () => {
    const trial = new CoordinationTrial();
    const lease = await trial.lease();
    const next = await trial.ask();
    await trial.coordinator.giveBack(trial.key, lease);
    await trial.settle();
    leaseOf(next);
    await trial.expectRest();
  });
});
