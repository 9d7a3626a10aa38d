import { expect, it } from 'vitest';
import { keepingLock } from '../../../../src/coordination/leasing/kept-lock.js';
import { MemoryLeaseQuorum } from '../../../../src/memory/lease-quorum.js';
import { CoordinationTrial } from '../../../support/coordination-trial.js';
import { ManualClock } from '../../../support/manual-clock.js';

it('the lock is kept until the reply comes, and no longer', async () => {
  const clock = new ManualClock();
  const quorum = new MemoryLeaseQuorum({ clock });
  await quorum.acquire('a', 'n1', 300);
  let arrive = (_reply: string): void => {};
  const reply = new Promise<string>((resolve) => {
    arrive = resolve;
  });
  const kept = keepingLock({ clock, quorum }, { id: 'a', nonce: 'n1', leaseMs: 300 }, reply);
  for (let ms = 0; ms < 3_000; ms += 50) {
    clock.advance(50);
    await Promise.resolve();
    expect((await quorum.acquire('a', `other ${ms}`, 300)).kind).toBe('held');
  }
  arrive('a reply');
  expect(await kept).toBe('a reply');
  expect(clock.timers).toBe(0);
  clock.advance(300);
  expect((await quorum.acquire('a', 'n2', 300)).kind).toBe('granted');
});

it('no lock node is asked if the reply comes soon, and an error is passed on', async () => {
  const clock = new ManualClock();
  let extended = 0;
  const quorum = {
    extend: async () => {
      extended += 1;
      return { kind: 'unavailable' } as const;
    },
  };
  const lock = { id: 'a', nonce: 'n1', leaseMs: 300 };
  const failing = keepingLock({ clock, quorum }, lock, Promise.reject(new Error('no')));
  clock.advance(99);
  await expect(failing).rejects.toThrow('no');
  clock.advance(1_000);
  expect(extended).toBe(0);
});

it('is not extended faster because a caller wrote a short lease into its token', async () => {
  const trial = new CoordinationTrial();
  const { token } = await trial.lease();
  const storing = trial.store.holdBefore('publish');
  const publishing = trial.publish({ ...token, leaseMs: 1 });
  await trial.pass(1_000);
  // A third of the shortest lease.
  expect(trial.quorum.countOf('extend')).toBeLessThanOrEqual(1_000 / (trial.policy.leaseMsMin / 3));
  storing.open();
  expect((await publishing).outcome).toBe('stored');
});

it('of a made-up token is not kept, because that would lock the key', async () => {
  const trial = new CoordinationTrial();
  const storing = trial.store.holdBefore('publish');
  const publishing = trial.publish({ kind: 'armed', nonce: 'x'.repeat(22), fence: 1, leaseMs: 1_000 });
  await trial.pass(3_000);
  expect(trial.quorum.countOf('extend')).toBe(0);
  storing.open();
  expect((await publishing).outcome).toBe('unknown_lease');
});
