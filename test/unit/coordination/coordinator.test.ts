import { describe, expect, it } from 'vitest';
import { Call } from '../../../src/coordination/words/call.js';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import { keyOf } from '../../../src/coordination/words/key.js';
import { type Asked, CoordinationTrial, hitOf, leaseOf, textIn } from '../../support/coordination-trial.js';

describe('the list of held leases', () => {
  it('shows a lease with its waiters on the replica that granted it, until its publish', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const { token } = await trial.lease({ holder: 'builder' });
    for (const replica of [trial.coordinator, trial.coordinator, there]) {
      await trial.ask({ waitMs: 1_000 }, new Call(), replica);
    }
    expect(trial.coordinator.shown(9).held).toMatchObject({
      leases: [{ namespace: 'trial', holder: 'builder', kind: 'armed', waiters: 2 }],
      waiters: 2,
    });
    expect(there.shown(9).held).toEqual({ leases: [], count: 0, waiters: 0 });
    expect(JSON.stringify(trial.coordinator.shown(9).held)).not.toContain(token.nonce);
    await trial.publish(token);
    expect(trial.coordinator.shown(9).held).toEqual({ leases: [], count: 0, waiters: 0 });
  });
});

describe('an invalidation', () => {
  it('deletes the value, and reports how many keys and leases it invalidated', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token);
    const never = keyOf('trial', 'never stored');
    expect(await trial.invalidate('delete', [trial.key, never])).toEqual({
      keysInvalidated: 1,
      leasesVoided: 0,
    });
    expect(leaseOf(await trial.ask()).reason).toBe('invalidated');
  });

  it('in mode mark_stale keeps the value for callers that accept stale ones', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token, 'old', { staleMs: 5_000 });
    await trial.invalidate('mark_stale');
    const strict = await trial.ask({ stale: 'forbid', intent: 'read' });
    expect(strict.answer?.outcome).toMatchObject({ kind: 'busy', reason: 'no_value' });
    expect(hitOf(await trial.ask({ intent: 'read' })).freshForMs).toBe(0);
  });

  it('of a leased key voids the lease: its publish is refused, and a waiter gets the next lease at once', async () => {
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

  it('makes the publish of the voided lease return INVALIDATED, even without a later lease', async () => {
    const trial = new CoordinationTrial();
    const doomed = await trial.lease();
    await trial.invalidate();
    expect((await trial.publish(doomed.token)).outcome).toBe('invalidated');
  });

  it('without the store is an error, even if only one of its keys was not reached', async () => {
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
    // The second key was invalidated, and that takes effect.
    leaseOf(waiter);
    expect((await trial.publish(doomed.token)).outcome).not.toBe('stored');
  });
});

describe('two namespaces', () => {
  it('with the same key have separate leases and values', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token);
    const elsewhere = keyOf('elsewhere', trial.key.key);
    const there = leaseOf(await trial.ask({ key: elsewhere }));
    expect(await trial.release(there.token)).toBe('not_held');
    expect((await trial.publish(there.token)).outcome).toBe('unknown_lease');
    expect(textIn(hitOf(await trial.ask()))).toBe('a value');
  });
});

describe('a closed replica', () => {
  it('ignores wakes', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    await trial.lease({}, there);
    there.close();
    await trial.invalidate();
    expect(there.leasesHeld).toBe(1);
    expect((await trial.ask({}, new Call(), there)).answer?.outcome.kind).toBe('lease');
  });
});

describe('an overloaded replica', () => {
  it('refuses callers that would have to wait, but serves hits, extends leases and stores publishes', async () => {
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
  throw new Error('expected a refusal');
}
