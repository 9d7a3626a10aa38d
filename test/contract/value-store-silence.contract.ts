import { expect, test } from 'vitest';
import { SHORT_MS, type StoreTrial } from '../support/store-trial.js';

/** How long the store alone arms no lease after one that its holder has not ended. */
export function silenceContract(current: () => StoreTrial): void {
  test('arms no lease by the store alone until S after the last one, which may have been extended', async () => {
    const trial = current();
    await trial.arm('n1', { expiresInMs: 1 });
    await trial.under.pass(SHORT_MS);
    const alone = { quorumLost: true, silenceMs: 10 * SHORT_MS };
    expect((await trial.arm('n2', alone)).armed).toBe(false);
    await trial.under.pass(10 * SHORT_MS);
    expect((await trial.arm('n2', alone)).armed).toBe(true);
    // Its holder has ended it, so there is no wait.
    await trial.publish('n2');
    expect((await trial.arm('n3', alone)).armed).toBe(true);
    // The quorum would still hold an extended lease, so with it there is no wait either.
    await trial.arm('n4', { expiresInMs: 1 });
    await trial.release('n3');
    await trial.arm('n5', { expiresInMs: 1 });
    await trial.under.pass(SHORT_MS);
    expect((await trial.arm('n6', { silenceMs: 10 * SHORT_MS })).armed).toBe(true);
  });

  const S_MS = 10 * SHORT_MS;
  const byOthers = { group: 'other nodes', silenceMs: S_MS };

  test('arms no lease of other lock nodes until S after the last one, which its own may have extended', async () => {
    const trial = current();
    await trial.arm('n1', { expiresInMs: SHORT_MS });
    // The lease runs.
    expect((await trial.arm('n2', byOthers)).armed).toBe(false);
    await trial.under.pass(2 * SHORT_MS);
    // The lease has ended, as far as the store knows.
    expect((await trial.arm('n2', byOthers)).armed).toBe(false);
    await trial.under.pass(S_MS);
    expect((await trial.arm('n2', byOthers)).armed).toBe(true);
    // Its holder has ended it, so there is no wait.
    await trial.publish('n2');
    expect((await trial.arm('n3', { silenceMs: S_MS })).armed).toBe(true);
    await trial.release('n3');
    expect((await trial.arm('n4', byOthers)).armed).toBe(true);
  });

  test('waits S for any lock nodes after a lease that two groups have extended', async () => {
    const trial = current();
    await trial.arm('n1', { expiresInMs: SHORT_MS });
    await trial.extend('n1', SHORT_MS, false, byOthers.group);
    // Extended once more by its own nodes. The others may still hold the lock.
    await trial.extend('n1', SHORT_MS);
    await trial.under.pass(2 * SHORT_MS);
    expect((await trial.arm('n2', { silenceMs: S_MS })).armed).toBe(false);
    expect((await trial.arm('n2', byOthers)).armed).toBe(false);
    await trial.under.pass(S_MS);
    expect((await trial.arm('n2', { silenceMs: S_MS })).armed).toBe(true);
  });

  test('remembers the lock nodes of a lease while the store alone extends it', async () => {
    const trial = current();
    await trial.arm('n1', { expiresInMs: SHORT_MS });
    await trial.extend('n1', SHORT_MS, true);
    await trial.under.pass(2 * SHORT_MS);
    expect((await trial.arm('n2', byOthers)).armed).toBe(false);
    expect((await trial.arm('n2', { silenceMs: S_MS })).armed).toBe(true);
    // The store alone arms a lease in place of these lock nodes.
    await trial.release('n2');
    await trial.arm('n3', { expiresInMs: SHORT_MS, quorumLost: true });
    await trial.extend('n3', SHORT_MS);
    await trial.under.pass(2 * SHORT_MS);
    expect((await trial.arm('n4', byOthers)).armed).toBe(false);
    expect((await trial.arm('n4', { silenceMs: S_MS })).armed).toBe(true);
  });
}
