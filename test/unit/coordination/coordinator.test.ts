import { describe, expect, it } from 'vitest';
import { Call } from '../../../src/coordination/words/call.js';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import { keyOf } from '../../../src/coordination/words/key.js';
import { type Asked, CoordinationTrial, hitOf, leaseOf, textIn } from '../../support/coordination-trial.js';

describe('what is shown of the leases', () => {
  it('says who waits on the replica that gave it, and ends with the publish', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const { token } = await trial.lease({ holder: 'builder' });
    for (const replica of [trial.coordinator, trial.coordinator, there]) {
      await trial.ask({ waitMs: 1_000 }, new Call(), replica);
    }
    expect(trial.coordinator.leasesShown(9)).toMatchObject({
      leases: [{ namespace: 'trial', holder: 'builder', kind: 'armed', waiters: 2 }],
      waiters: 2,
    });
    expect(there.leasesShown(9)).toEqual({ leases: [], count: 0, waiters: 0 });
    expect(JSON.stringify(trial.coordinator.leasesShown(9))).not.toContain(token.nonce);
    await trial.publish(token);
    expect(trial.coordinator.leasesShown(9)).toEqual({ leases: [], count: 0, waiters: 0 });
  });
});

describe('an invalidation', () => {
  it('drops the value, and says what it did', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token);
    const never = keyOf('trial', 'never stored');
    expect(await trial.invalidate('delete', [trial.key, never])).toEqual({
      keysInvalidated: 1,
      leasesVoided: 0,
    });
    expect(leaseOf(await trial.ask()).reason).toBe('invalidated');
  });

  it('that marks stale keeps the value for those who take stale ones', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token, 'old', { staleMs: 5_000 });
    await trial.invalidate('mark_stale');
    const strict = await trial.ask({ stale: 'forbid', intent: 'read' });
    expect(strict.answer?.outcome).toMatchObject({ kind: 'busy', reason: 'no_value' });
    expect(hitOf(await trial.ask({ intent: 'read' })).freshForMs).toBe(0);
  });

  it('between lease and publish voids the lease: its result is refused, and a waiter gets the next at once', async () => {
    const trial = new CoordinationTrial();
    const doomed = await trial.lease();
    const waiter = await trial.ask();
    expect(await trial.invalidate()).toEqual({ keysInvalidated: 0, leasesVoided: 1 });
    const next = leaseOf(waiter);
    expect(next.reason).toBe('invalidated');
    expect(next.fence).toBeGreaterThan(doomed.fence);
    expect((await trial.publish(doomed.token, 'doomed')).outcome).toBe('invalidated');
    await trial.publish(next.token, 'new');
    expect(textIn(hitOf(await trial.ask()))).toBe('new');
    expect(trial.told('leaseEnded')).toEqual([['trial', 'invalidated', 0, '']]);
    await trial.expectRest();
  });

  it('says INVALIDATED to the publish of a voided lease without a successor', async () => {
    const trial = new CoordinationTrial();
    const doomed = await trial.lease();
    await trial.invalidate();
    expect((await trial.publish(doomed.token)).outcome).toBe('invalidated');
  });

  it('without the store is an error, also when only one key could not be reached', async () => {
    const trial = new CoordinationTrial();
    const doomed = await trial.lease();
    const waiter = await trial.ask();
    const gate = trial.store.holdBefore('invalidate');
    const invalidated = trial.invalidate('delete', [keyOf('trial', 'another'), trial.key]);
    await gate.reached;
    await trial.settle();
    trial.store.down = true;
    gate.open();
    await expect(invalidated).rejects.toMatchObject({ kind: 'unavailable', message: /invalidate again/ });
    trial.store.down = false;
    await trial.settle();
    // The other key's was acknowledged, and takes its effect.
    leaseOf(waiter);
    expect((await trial.publish(doomed.token)).outcome).not.toBe('stored');
  });
});

describe('two namespaces', () => {
  it('never see each other', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token);
    const elsewhere = keyOf('elsewhere', trial.key.key);
    const there = leaseOf(await trial.ask({ key: elsewhere }));
    expect(await trial.release(there.token)).toBe('not_held');
    expect((await trial.publish(there.token)).outcome).toBe('unknown_lease');
    expect(textIn(hitOf(await trial.ask()))).toBe('a value');
  });
});

describe('a replica that is closed', () => {
  it('hears no more wakes', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    await trial.lease({}, there);
    there.close();
    await trial.invalidate();
    expect(there.leasesHeld).toBe(1);
    expect((await trial.ask({}, new Call(), there)).answer?.outcome.kind).toBe('lease');
  });
});

describe('a replica that cannot keep up', () => {
  it('refuses callers that would wait, and still serves hits and ends leases', async () => {
    const trial = new CoordinationTrial();
    trial.nearCacheBytes = 100_000;
    const replica = trial.replica();
    const ask = () => trial.ask({}, new Call(), replica);
    const { token } = await trial.lease({}, replica);
    trial.overloaded = true;
    expect((await refusalOf(ask)).kind).toBe('exhausted');
    expect((await trial.extend(token, undefined, replica)).outcome).toBe('extended');
    expect((await trial.publish(token, 'v', {}, replica)).outcome).toBe('stored');
    trial.overloaded = false;
    hitOf(await ask());
    trial.overloaded = true;
    hitOf(await ask());
    await trial.expectRest();
  });
});

async function refusalOf(ask: () => Promise<Asked>): Promise<CoordinationError> {
  const { error } = await ask();
  if (error instanceof CoordinationError) return error;
  throw new Error('expected to be refused');
}
