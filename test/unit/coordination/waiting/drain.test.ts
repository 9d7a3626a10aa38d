import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { busyOf, CoordinationTrial, hitOf, leaseOf, textIn } from '../../../support/coordination-trial.js';

describe('a drain', () => {
  it('tells all waiters, and later callers, at once to ask another replica', async () => {
    const trial = new CoordinationTrial();
    await trial.lease();
    const waiter = await trial.ask();
    trial.coordinator.drain();
    expect(busyOf(await trial.ask())).toMatchObject({ reason: 'draining', retryAfterMs: 0 });
    expect(busyOf(waiter).reason).toBe('draining');
    expect(trial.told('waited')).toEqual([['trial', 'drain', 0]]);
    await trial.expectRest();
  });

  it('grants no lease, even for a free key', async () => {
    const trial = new CoordinationTrial();
    trial.coordinator.drain();
    expect(busyOf(await trial.ask()).reason).toBe('draining');
    expect(trial.quorum.countOf('acquire')).toBe(0);
    await trial.expectRest();
  });

  it('gives back a lease that was granted when it began', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('arm');
    const asked = trial.send();
    await gate.reached;
    trial.coordinator.drain();
    gate.open();
    await trial.settle();
    expect(busyOf(asked).reason).toBe('draining');
    leaseOf(await trial.ask({}, new Call(), trial.replica()));
    await trial.expectRest();
  });

  it('keeps serving hits, and stores publishes of running leases', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    trial.coordinator.drain();
    expect((await trial.publish(holder.token)).outcome).toBe('stored');
    expect(textIn(hitOf(await trial.ask()))).toBe('a value');
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('a value');
    await trial.expectRest();
  });
});
