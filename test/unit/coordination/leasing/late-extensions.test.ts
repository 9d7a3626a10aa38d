import { expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, leaseOf } from '../../../support/coordination-trial.js';

it('a lease that was armed late, and extended by the lock nodes alone, says that the store is missing', async () => {
  const trial = new CoordinationTrial();
  const arming = trial.store.holdAfter('arm');
  const asked = await trial.ask({ leaseMs: 1_000 });
  await arming.reached;
  await trial.pass(600);
  trial.store.down = true;
  arming.open();
  await trial.settle();
  expect(leaseOf(asked).expiresInMs).toBeGreaterThan(900);
  expect(asked.answer?.degraded).toBe('store_lost');
});

it('a retry that gets a lease again does not take an extension for one that the store has confirmed', async () => {
  const trial = new CoordinationTrial();
  const { silenceMs } = trial.limits;
  await trial.lease({ requestId: 'r' });
  const storedUntilMs = trial.clock.nowMs() + 10_000;
  await trial.pass(1_000, 100);
  // The store is late with every extension from here on.
  for (let at = 0; at < 2; at += 1) trial.store.holdBefore('extend');
  const again = await trial.ask({ requestId: 'r', waitMs: 20_000 }, new Call());
  await trial.pass(6_000, 100);
  const { token } = leaseOf(again);
  const extending = trial.extend(token).then(({ expiresInMs }) => trial.clock.nowMs() + expiresInMs);
  await trial.pass(3_000, 100);
  expect(await extending).toBeGreaterThan(storedUntilMs);
  expect(await extending).toBeLessThanOrEqual(storedUntilMs + silenceMs);
});

it('an extension that the store has cut short ends when it does there, however late the reply comes', async () => {
  const trial = new CoordinationTrial();
  trial.policy = { ...trial.policy, leaseHoldMsMax: 1_200 };
  const { token } = await trial.lease({ leaseMs: 1_000 });
  const overMs = trial.clock.nowMs() + 1_200;
  await trial.pass(500);
  trial.quorum.lost = true;
  const replying = trial.store.holdAfter('extend');
  const extending = trial.extend(token);
  await replying.reached;
  await trial.pass(400);
  replying.open();
  const { outcome, expiresInMs } = await extending;
  expect(outcome).toBe('extended');
  expect(trial.clock.nowMs() + expiresInMs).toBeLessThanOrEqual(overMs);
});

it('a late reply to an extension does not end a lease that another extension has lengthened', async () => {
  const trial = new CoordinationTrial();
  const { token } = await trial.lease({ leaseMs: 1_000 });
  const replying = trial.store.holdAfter('extend');
  await trial.pass(200);
  const first = trial.extend(token);
  await replying.reached;
  await trial.pass(800);
  expect((await first).outcome).toBe('extended');
  const { expiresInMs } = await trial.extend(token);
  await trial.pass(500);
  replying.open();
  await trial.settle();
  expect(expiresInMs).toBeGreaterThan(900);
  expect(trial.quorum.countOf('release')).toBe(0);
  expect((await trial.extend(token)).outcome).toBe('extended');
});

it('a late reply to an extension does not free the locks of a lease that another replica has extended', async () => {
  const trial = new CoordinationTrial();
  const there = trial.replica();
  const { token } = await trial.lease({ leaseMs: 1_000 });
  const replying = trial.store.holdAfter('extend');
  await trial.pass(200);
  void trial.extend(token);
  await replying.reached;
  await trial.pass(800);
  const { expiresInMs } = await there.extend({ key: trial.key, token, leaseMs: undefined }, new Call());
  // The first replica cannot find out that the lease goes on.
  trial.store.holdBefore('explain');
  await trial.pass(500);
  replying.open();
  await trial.settle();
  expect(expiresInMs).toBeGreaterThan(900);
  expect(trial.quorum.countOf('release')).toBe(0);
});

it('an extension whose reply comes after the lease has ended here is lost', async () => {
  const trial = new CoordinationTrial();
  const { token } = await trial.lease({ leaseMs: 1_000 });
  const replying = trial.store.holdAfter('extend');
  const extending = trial.extend(token);
  await replying.reached;
  await trial.coordinator.release({ key: trial.key, token, failure: undefined }, new Call());
  replying.open();
  expect((await extending).outcome).toBe('lost');
});
