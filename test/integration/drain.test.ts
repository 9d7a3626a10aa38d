import { afterEach, describe, expect, it } from 'vitest';
import { BusyReason } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { Replica } from '../support/replica.js';
import { waitersOf } from '../support/waiters.js';

const CLEAN = { code: 0, signal: null };

describe('SIGTERM to an embedded replica', () => {
  it('ends it cleanly, and answers its waiters with Busy, DRAINING', async () => {
    const replica = await Replica.start();
    expect(replica.mode).toBe('embedded');
    const caller = new Caller(replica.target);
    await caller.lease({ key: 'k', leaseMs: 30_000 });
    const waiters = Array.from({ length: 50 }, () => caller.getOrLock({ key: 'k', waitMs: 20_000 }));
    await expect.poll(() => waitersOf(replica.httpUrl)).toBe(50);
    replica.signal('SIGTERM');
    for (const { outcome } of await Promise.all(waiters)) {
      expect(outcome).toMatchObject({ $case: 'busy', value: { reason: BusyReason.BUSY_REASON_DRAINING } });
    }
    expect(await replica.ended).toEqual(CLEAN);
    caller.close();
  });
});

describeWithRedis('SIGTERM to one replica of a fleet', () => {
  let fleet: Fleet | undefined;
  const callers: Caller[] = [];
  afterEach(async () => {
    for (const caller of callers.splice(0)) caller.close();
    await fleet?.stop();
  });

  it('drops no call: waiters continue elsewhere, and its lease still counts', async () => {
    fleet = await Fleet.start({ replicas: 2 });
    const [leaving, staying] = fleet.replicas as [Replica, Replica];
    callers.push(...[leaving, staying].map(({ target }) => new Caller(target)));
    const [one, two] = callers as [Caller, Caller];
    const { token } = await one.lease({ key: 'k', leaseMs: 30_000 });
    const told = Array.from({ length: 50 }, () => one.getOrLock({ key: 'k', waitMs: 20_000 }));
    await expect.poll(() => waitersOf(leaving.httpUrl)).toBe(50);

    leaving.signal('SIGTERM');
    const moved = (await Promise.all(told)).map(({ outcome }) => {
      expect(outcome).toMatchObject({ $case: 'busy', value: { reason: BusyReason.BUSY_REASON_DRAINING } });
      return two.getOrLock({ key: 'k', waitMs: 20_000 });
    });
    expect(await leaving.ended).toEqual(CLEAN);
    await expect.poll(() => waitersOf(staying.httpUrl)).toBe(50);
    await two.publishText('k', token, 'still mine');
    expect(new Set((await Promise.all(moved)).map(textOf))).toEqual(new Set(['still mine']));
  });
});
