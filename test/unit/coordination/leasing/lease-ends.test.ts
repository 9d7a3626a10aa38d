import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import type { LeaseEnd } from '../../../../src/coordination/words/outcome.js';
import { CoordinationTrial, isWaiting, leaseOf } from '../../../support/coordination-trial.js';
import { ToldTrace } from '../../../support/told-trace.js';

/** A lease of one second, granted by the first of two replicas and watched by a session there. */
async function watched() {
  const trial = new CoordinationTrial();
  const other = trial.replica();
  const lease = await trial.lease({ leaseMs: 1_000 });
  const heard: (LeaseEnd | undefined)[] = [];
  trial.coordinator.watchLease(lease, (end) => heard.push(end));
  const extendAt = async (replica = other) => {
    const request = { key: trial.key, token: lease.token, leaseMs: 5_000 };
    const answer = await replica.extend(request, new Call());
    return { request, answer };
  };
  return { trial, other, lease, heard, extendAt };
}

describe('the end of a lease, at the replica that granted it', () => {
  it('is not reported while an extension on another replica lasts', async () => {
    const { trial, heard, extendAt } = await watched();
    await extendAt();
    await trial.pass(2_000, 100);
    expect(heard).toEqual([]);
    expect(trial.coordinator.leasesHeld).toBe(1);
    await trial.pass(4_000, 100);
    expect(trial.told('leaseEnded')).toEqual([['trial', 'expired', expect.closeTo(4_950, -2), '']]);
  });

  it('is not reported after a session of another replica took the lease over, and nothing is given back', async () => {
    const { trial, other, lease, heard, extendAt } = await watched();
    const { request, answer } = await extendAt();
    const { taken } = await other.takeOver(request, answer);
    expect(taken).toMatchObject({ token: lease.token, owner: 2 });
    expect([trial.coordinator.leasesHeld, other.leasesHeld]).toEqual([1, 1]);
    await trial.pass(1_100, 100);
    expect(trial.coordinator.leasesHeld).toBe(0);
    // The first session's stream ends.
    await trial.coordinator.giveBack(trial.key, lease, 'session_lost');
    const next = await trial.ask({ waitMs: 9_000 }, new Call(), other);
    expect(isWaiting(next)).toBe(true);
    if (taken !== undefined) await other.giveBack(trial.key, taken, 'session_lost');
    await trial.settle();
    expect(leaseOf(next).reason).toBe('holder_lost');
    // The holder itself moved the lease, so it needs no notice.
    expect(heard).toEqual([undefined]);
  });

  it('is told to its holder if its first session gives it back before another one has taken it over', async () => {
    const { trial, other, lease, extendAt } = await watched();
    const { request, answer } = await extendAt();
    expect(answer.outcome).toBe('extended');
    await trial.coordinator.giveBack(trial.key, lease, 'session_lost');
    const next = await trial.lease();
    expect(await other.takeOver(request, answer)).toEqual({
      answer: { outcome: 'lost', expiresInMs: 0 },
      taken: undefined,
    });
    // The lease of the next caller goes on.
    expect((await trial.publish(next.token)).outcome).toBe('stored');
  });

  it('is told to its holder in the same way if the store does not know the lease', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    const lease = await trial.lease();
    const request = { key: trial.key, token: lease.token };
    const answer = await trial.coordinator.extend(request, new Call());
    const { taken, answer: kept } = await trial.coordinator.takeOver(request, answer);
    expect([taken, kept.outcome]).toEqual([undefined, 'extended']);
    await trial.coordinator.giveBack(trial.key, lease, 'session_lost');
    expect((await trial.coordinator.takeOver(request, answer)).answer.outcome).toBe('lost');
  });

  it.each([
    [
      'is counted from the answer, although',
      600,
      { outcome: 'extended', expiresInMs: expect.closeTo(4_350, -2) },
    ],
    ['is over when', 5_000, { outcome: 'lost', expiresInMs: 0 }],
  ])('%s the store was late to move it to another session', async (_what, lateMs, expected) => {
    const { trial, other, extendAt } = await watched();
    const { request, answer } = await extendAt();
    const adopting = trial.store.holdAfter('adopt');
    const moving = other.takeOver(request, answer);
    await trial.pass(lateMs, 100);
    adopting.open();
    expect((await moving).answer).toEqual(expected);
  });

  it('is not reported when only the time is up, because the publish may still be stored', async () => {
    const { trial, lease, heard } = await watched();
    await trial.pass(1_500, 100);
    expect(heard).toEqual([]);
    expect(trial.told('leaseEnded')).toEqual([['trial', 'expired', expect.closeTo(1_000, -2), '']]);
    expect((await trial.publish(lease.token)).outcome).toBe('stored_late');
  });

  it('is reported with its cause even if its wake was lost', async () => {
    const { trial, other, heard } = await watched();
    trial.wakes.silent = true;
    const request = { namespace: 'trial', keys: [trial.key], tags: [], all: false, mode: 'delete' as const };
    await other.invalidate(request, new Call());
    trial.wakes.silent = false;
    await trial.pass(1_100, 100);
    expect(heard).toEqual(['invalidated']);
  });

  it('is reported as expired if another caller got a lease since', async () => {
    const { trial, other, heard } = await watched();
    await trial.pass(1_050, 50);
    await trial.lease({ leaseMs: 9_000 }, other);
    await trial.pass(61_000, 1_000);
    expect(heard).toEqual(['expired']);
  });

  it('is looked up until the lease can no longer be extended, and then forgotten without a report', async () => {
    // A value keeps the record, and no other caller asks for the key.
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, leaseHoldMsMax: 150_000 };
    await trial.publish((await trial.lease()).token, 'a value', { ttlMs: 3_600_000 });
    const lease = await trial.lease({ leaseMs: 1_000, intent: 'refresh' });
    const heard: (LeaseEnd | undefined)[] = [];
    trial.coordinator.watchLease(lease, (end) => heard.push(end));
    await trial.pass(149_000, 1_000);
    expect([heard, trial.clock.timers]).toEqual([[], 1]);
    await trial.pass(2_000, 1_000);
    expect([heard, trial.clock.timers]).toEqual([[undefined], 0]);
    // At its end, a moment after it by the store's clock, twice a minute after that, and when the hold was over.
    expect(trial.store.countOf('explain')).toBeLessThanOrEqual(6);
    await trial.pass(600_000, 10_000);
    expect(trial.store.countOf('explain')).toBeLessThanOrEqual(6);
    expect((await trial.publish(lease.token)).outcome).toBe('stored_late');
  });

  it('is looked up again while the store does not answer', async () => {
    const { trial, other, heard } = await watched();
    trial.wakes.silent = true;
    const request = { namespace: 'trial', keys: [trial.key], tags: [], all: false, mode: 'delete' as const };
    await other.invalidate(request, new Call());
    trial.wakes.silent = false;
    trial.store.down = true;
    await trial.pass(3_000, 100);
    expect(heard).toEqual([]);
    trial.store.down = false;
    await trial.pass(1_100, 100);
    expect(heard).toEqual(['invalidated']);
  });
});

describe('a lease that its holder publishes after its time, and that a session watches', () => {
  /** Traced, of one second, expired, and still armed. */
  async function late() {
    const trial = new CoordinationTrial();
    const trace = new ToldTrace('the holder');
    const lease = leaseOf(
      await trial.ask({ leaseMs: 1_000 }, new Call('', Number.POSITIVE_INFINITY, '', trace)),
    );
    trial.coordinator.watchLease(lease, () => {});
    await trial.pass(1_500, 100);
    return { trial, trace, lease };
  }

  it('counts once as a lease that was held, and its publish counts as late', async () => {
    const { trial, trace, lease } = await late();
    expect((await trial.publish(lease.token)).outcome).toBe('stored_late');
    await trial.settle();
    expect(trial.told('leaseEnded')).toHaveLength(1);
    expect(trial.told('published')).toEqual([['trial', 'stored_late', undefined, '', undefined]]);
    expect(trace.step('lease').facts).toMatchObject({ leaseEnd: 'expired' });
  });

  it('counts once if it is released instead', async () => {
    const { trial, lease } = await late();
    expect(await trial.coordinator.release({ key: trial.key, token: lease.token }, new Call())).toBe(
      'released',
    );
    expect(trial.told('leaseEnded')).toHaveLength(1);
  });
});

describe('the end of a lease in traces and metrics, learned late', () => {
  /** A lease of one second, granted at 0 and traced. The wake of its end is lost. */
  async function deaf() {
    const trial = new CoordinationTrial();
    const trace = new ToldTrace('the holder');
    const call = new Call('', Number.POSITIVE_INFINITY, '', trace);
    const { token } = leaseOf(await trial.ask({ leaseMs: 1_000 }, call));
    trial.wakes.silent = true;
    const startedMs = trial.clock.nowMs();
    /** How long after its start the span ended, by its own times. */
    const spanMs = (toldMs: number) => toldMs - startedMs - trace.step('lease').endedAgoMs;
    return { trial, trace, token, spanMs };
  }

  it('is dated to the end of its time if the store was away', async () => {
    const { trial, trace, spanMs } = await deaf();
    trial.store.down = true;
    await trial.pass(2_500, 100);
    expect(trace.step('lease').ended).toBe(false);
    trial.store.down = false;
    let toldMs = 0;
    while (!trace.step('lease').ended) {
      await trial.pass(100, 100);
      toldMs = trial.clock.nowMs();
    }
    expect(spanMs(toldMs)).toBeCloseTo(1_000, -2);
    expect(trial.told('leaseEnded')).toEqual([
      ['trial', 'expired', expect.closeTo(1_000, -2), 'lease of the holder'],
    ]);
  });

  it('is dated to its end on another replica', async () => {
    const { trial, trace, spanMs } = await deaf();
    await trial.pass(400, 100);
    const request = { namespace: 'trial', keys: [trial.key], tags: [], all: false, mode: 'delete' as const };
    await trial.replica().invalidate(request, new Call());
    let toldMs = 0;
    while (!trace.step('lease').ended) {
      await trial.pass(100, 100);
      toldMs = trial.clock.nowMs();
    }
    expect(trace.step('lease').facts.leaseEnd).toBe('invalidated');
    expect(spanMs(toldMs)).toBeCloseTo(400, -1);
    expect(trial.told('leaseEnded')).toEqual([
      ['trial', 'invalidated', expect.closeTo(400, -1), 'lease of the holder'],
    ]);
  });
});

describe('the total time of a lease with its extensions', () => {
  it('is bounded by the namespace, also for a lease that the store does not know', async () => {
    for (const down of [false, true]) {
      const trial = new CoordinationTrial();
      trial.policy = { ...trial.policy, leaseHoldMsMax: 3_000 };
      trial.store.down = down;
      const { token } = await trial.lease({ leaseMs: 1_000 });
      trial.clock.advance(800);
      expect((await trial.extend(token, 1_000)).outcome).toBe('extended');
      trial.clock.advance(800);
      expect((await trial.extend(token, 1_000)).outcome).toBe('extended');
      trial.clock.advance(800);
      const last = await trial.extend(token, 1_000);
      expect(last.expiresInMs).toBeLessThanOrEqual(600);
      trial.clock.advance(600);
      expect(await trial.extend(token, 1_000)).toEqual({ outcome: 'lost', expiresInMs: 0 });
    }
  });
});
