import { beforeEach, describe, expect, test } from 'vitest';
import { Changes } from '../../../../src/coordination/reading/changes.js';
import { ClockKeeper } from '../../../../src/coordination/reading/clock-keeper.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { busyOf, CoordinationTrial, hitOf, leaseOf, textIn } from '../../../support/coordination-trial.js';

const HOUR_MS = 3_600_000;

describe('the tag clock of a namespace', () => {
  let trial: CoordinationTrial;
  beforeEach(() => {
    trial = new CoordinationTrial();
  });
  const begun = () => trial.namespaces.countOf('begin');
  const clock = async () => (await trial.namespaces.read('trial', [])).clock;

  test('is created by the first lease, not by a read', async () => {
    expect(busyOf(await trial.ask({ intent: 'read' })).reason).toBe('no_value');
    expect(await clock()).toBe('');
    await trial.lease();
    expect(await clock()).not.toBe('');
    await trial.lease({ key: keyOf('trial', 'another') });
    expect(begun()).toBe(1);
  });

  test('outlasts a value, however long that lives, without a request for each value', async () => {
    const other = keyOf('trial', 'another');
    const lease = await trial.lease();
    await trial.publish(lease.token, 'long', { ttlMs: 25 * HOUR_MS });
    const asked = begun();
    const { token } = await trial.lease({ key: other });
    await trial.publish(token, 'short', { key: other, ttlMs: HOUR_MS });
    expect(begun()).toBe(asked);
    trial.clock.advance(25 * HOUR_MS - 1);
    expect(textIn(hitOf(await trial.ask()))).toBe('long');
  });

  test('outlasts a lease that is extended as long as allowed', async () => {
    trial.limits = { ...trial.limits, leaseMsMax: 600_000 };
    const { token } = await trial.lease({ leaseMs: 100_000 });
    for (let minute = 0; minute < 9; minute++) {
      trial.clock.advance(60_000);
      await trial.extend(token, 100_000);
    }
    expect((await trial.publish(token, 'late')).counts).toBe(true);
    expect(textIn(hitOf(await trial.ask()))).toBe('late');
  });

  test('expires with its values, and the next lease creates another', async () => {
    const { token } = await trial.lease();
    await trial.publish(token, 'a value', { ttlMs: 1_000 });
    const first = await clock();
    trial.clock.advance(2 * HOUR_MS);
    expect(await clock()).toBe('');
    await trial.lease();
    expect((await clock()).split('.')[0]).not.toBe(first.split('.')[0]);
  });

  test('invalidates its values when it is lost, and the next lease creates another', async () => {
    const { token } = await trial.lease();
    await trial.publish(token, 'a value', { ttlMs: 100 * HOUR_MS });
    const real = trial.namespaces.read;
    // As after an eviction: this replica knew a clock that lasts for days.
    Object.assign(trial.namespaces, { read: async () => ({ clock: '', keptForMs: 0, stamps: [] }) });
    expect(leaseOf(await trial.ask()).reason).toBe('invalidated');
    expect(begun()).toBe(3);
    Object.assign(trial.namespaces, { read: real });
  });

  test('stays as it was read if the store does not answer', async () => {
    trial.store.down = true;
    const { clock: time, namespaces } = trial;
    const parts = { namespaces, clock: time, policyOf: () => trial.policy };
    const keeper = new ClockKeeper(parts, new Changes());
    expect(await keeper.forLease('trial', 'id.3')).toBe('id.3');
    expect(await keeper.forLease('trial', '')).toBe('');
    await keeper.forValue('trial', 1_000);
    // After a read of the namespace, its clock is known again.
    keeper.read('trial', 2 * trial.policy.leaseHoldMsMax, time.nowMs());
    const asked = begun();
    expect(await keeper.forLease('trial', 'id.4')).toBe('id.4');
    expect(begun()).toBe(asked);
  });
});
