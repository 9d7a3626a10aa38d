import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, hitOf, leaseOf, textIn } from '../../../support/coordination-trial.js';

describe('a look that an invalidation overtakes', () => {
  it('serves whoever had come before, and nobody who came after', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    await trial.publish(token, 'old');
    const gate = trial.store.holdAfter('read');
    const before = trial.send();
    await gate.reached;
    await trial
      .replica()
      .invalidate(
        { namespace: 'trial', keys: [trial.key], tags: [], all: false, mode: 'delete' },
        new Call(),
      );
    const after = trial.send();
    gate.open();
    await trial.settle();
    expect(textIn(hitOf(before))).toBe('old');
    leaseOf(after);
  });
});
