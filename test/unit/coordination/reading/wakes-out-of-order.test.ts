import { expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, leaseOf } from '../../../support/coordination-trial.js';

it('does not take a late wake of a publish for the latest change of a key that was invalidated since, here', async () => {
  const trial = new CoordinationTrial();
  const { token } = await trial.lease();
  trial.wakes.hold();
  // The publish is stored. Whether it counts is asked of the store, because wakes may be missing.
  trial.wakes.live = false;
  const counting = trial.namespaces.holdBefore('read');
  const publishing = trial.publish(token, 'old');
  await counting.reached;
  trial.wakes.silent = true;
  await trial.invalidate();
  trial.wakes.silent = false;
  // A new room, which does not know of the invalidation. Its first read is under way.
  const reading = trial.store.holdBefore('read');
  const first = trial.send({ waitMs: 5_000 }, new Call());
  await reading.reached;
  trial.wakes.release();
  await trial.settle();
  const second = await trial.ask({ waitMs: 5_000 });
  counting.open();
  expect((await publishing).outcome).toBe('stored');
  expect(second.answer).toBeUndefined();
  reading.open();
  await trial.settle();
  leaseOf(first);
});
