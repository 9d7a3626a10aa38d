import { expect, test } from 'vitest';
import { SHORT_MS, type StoreTrial } from '../support/store-trial.js';

/** How long the store alone keeps a key free after a lease that its holder has not ended. */
export function silenceContract(current: () => StoreTrial): void {
  test('gives no lease by the store alone until S after the end of the last one, which may have been extended', async () => {
    const trial = current();
    await trial.arm('n1', { expiresInMs: 1 });
    await trial.under.pass(SHORT_MS);
    const alone = { quorumLost: true, silenceMs: 10 * SHORT_MS };
    expect((await trial.arm('n2', alone)).armed).toBe(false);
    await trial.under.pass(10 * SHORT_MS);
    expect((await trial.arm('n2', alone)).armed).toBe(true);
    // Its holder has ended it: nothing is in the way.
    await trial.publish('n2');
    expect((await trial.arm('n3', alone)).armed).toBe(true);
    // With the quorum, which would hold an extended one, there is nothing to wait for.
    await trial.arm('n4', { expiresInMs: 1 });
    await trial.release('n3');
    await trial.arm('n5', { expiresInMs: 1 });
    await trial.under.pass(SHORT_MS);
    expect((await trial.arm('n6', { silenceMs: 10 * SHORT_MS })).armed).toBe(true);
  });
}
