import { expect, test } from 'vitest';
import { inRounds } from '../support/rounds.js';
import { SHORTS_MS, type StoreTrial } from '../support/store-trial.js';

/** How long the store alone arms no lease after one that its holder has not ended. */
export function silenceContract(current: () => StoreTrial): void {
  /** A test on a key of its own. `shortMs`: longer than a step takes. */
  function timed(name: string, round: (trial: StoreTrial, shortMs: number) => Promise<void>): void {
    test(name, () =>
      inRounds(SHORTS_MS, async (shortMs) => {
        const trial = current().another();
        try {
          await round(trial, shortMs);
        } finally {
          trial.close();
        }
      }),
    );
  }
  const GROUP = 'other nodes';

  timed(
    'arms no lease by the store alone until S after the last one, which may have been extended',
    async (trial, shortMs) => {
      await trial.arm('n1', { expiresInMs: 1 });
      await trial.under.pass(shortMs);
      const alone = { quorumLost: true, silenceMs: 10 * shortMs };
      expect((await trial.arm('n2', alone)).armed).toBe(false);
      await trial.under.pass(10 * shortMs);
      expect((await trial.arm('n2', alone)).armed).toBe(true);
      // Its holder has ended it, so there is no wait.
      await trial.publish('n2');
      expect((await trial.arm('n3', alone)).armed).toBe(true);
      // The quorum would still hold an extended lease, so with it there is no wait either.
      await trial.arm('n4', { expiresInMs: 1 });
      await trial.release('n3');
      await trial.arm('n5', { expiresInMs: 1 });
      await trial.under.pass(shortMs);
      expect((await trial.arm('n6', { silenceMs: 10 * shortMs })).armed).toBe(true);
    },
  );

  timed(
    'arms no lease of other lock nodes until S after the last one, which its own may have extended',
    async (trial, shortMs) => {
      const byOthers = { group: GROUP, silenceMs: 10 * shortMs };
      await trial.arm('n1', { expiresInMs: shortMs });
      // The lease runs.
      expect((await trial.arm('n2', byOthers)).armed).toBe(false);
      await trial.under.pass(2 * shortMs);
      // The lease has ended, as far as the store knows.
      expect((await trial.arm('n2', byOthers)).armed).toBe(false);
      await trial.under.pass(10 * shortMs);
      expect((await trial.arm('n2', byOthers)).armed).toBe(true);
      // Its holder has ended it, so there is no wait.
      await trial.publish('n2');
      expect((await trial.arm('n3', { silenceMs: 10 * shortMs })).armed).toBe(true);
      await trial.release('n3');
      expect((await trial.arm('n4', byOthers)).armed).toBe(true);
    },
  );

  timed('waits S for any lock nodes after a lease that two groups have extended', async (trial, shortMs) => {
    const silenceMs = 10 * shortMs;
    await trial.arm('n1', { expiresInMs: shortMs });
    await trial.extend('n1', shortMs, false, GROUP);
    // Extended once more by its own nodes. The others may still hold the lock.
    await trial.extend('n1', shortMs);
    await trial.under.pass(2 * shortMs);
    expect((await trial.arm('n2', { silenceMs })).armed).toBe(false);
    expect((await trial.arm('n2', { silenceMs, group: GROUP })).armed).toBe(false);
    await trial.under.pass(silenceMs);
    expect((await trial.arm('n2', { silenceMs })).armed).toBe(true);
  });

  timed('remembers the lock nodes of a lease while the store alone extends it', async (trial, shortMs) => {
    const silenceMs = 10 * shortMs;
    await trial.arm('n1', { expiresInMs: shortMs });
    await trial.extend('n1', shortMs, true);
    await trial.under.pass(2 * shortMs);
    expect((await trial.arm('n2', { silenceMs, group: GROUP })).armed).toBe(false);
    expect((await trial.arm('n2', { silenceMs })).armed).toBe(true);
    // The store alone arms a lease in place of these lock nodes.
    await trial.release('n2');
    await trial.arm('n3', { expiresInMs: shortMs, quorumLost: true });
    await trial.extend('n3', shortMs);
    await trial.under.pass(2 * shortMs);
    expect((await trial.arm('n4', { silenceMs, group: GROUP })).armed).toBe(false);
    expect((await trial.arm('n4', { silenceMs })).armed).toBe(true);
  });
}
