import { describe, expect, it, vi } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationError } from '../../../../src/coordination/words/errors.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import {
  busyOf,
  CoordinationTrial,
  hitOf,
  isWaiting,
  LIMITS,
  leaseOf,
  textIn,
} from '../../../support/coordination-trial.js';

describe('a wait', () => {
  it('ends when its time is up, with the reason and the age of the holder', async () => {
    const trial = new CoordinationTrial();
    await trial.lease();
    const waiter = await trial.ask({ waitMs: 500 });
    await trial.pass(499, 1);
    expect(isWaiting(waiter)).toBe(true);
    await trial.pass(1, 1);
    expect(busyOf(waiter)).toMatchObject({ reason: 'wait_ended', holderAgeMs: 500 });
    expect(busyOf(waiter).retryAfterMs).toBeGreaterThan(0);
    expect(trial.told('waited')).toEqual([['trial', 'timeout', 500]]);
    await trial.expectRest();
  });

  it('ends before the deadline of its call, so that the answer arrives in time', async () => {
    const trial = new CoordinationTrial();
    await trial.lease();
    const waiter = await trial.ask({ waitMs: 5_000 }, new Call('', 1_000));
    await trial.pass(949, 1);
    expect(isWaiting(waiter)).toBe(true);
    // Plus a tick of the deadlines.
    await trial.pass(5, 1);
    expect(busyOf(waiter).reason).toBe('wait_ended');
    await trial.expectRest();
  });

  it('reserves at most a tenth of a short deadline for the way back', async () => {
    const trial = new CoordinationTrial();
    await trial.lease();
    const waiter = await trial.ask({}, new Call('', 20));
    await trial.pass(17, 1);
    expect(isWaiting(waiter)).toBe(true);
    await trial.pass(1, 1);
    expect(busyOf(waiter).reason).toBe('wait_ended');
    await trial.expectRest();
  });

  it('is at most as long as the service allows', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease({ leaseMs: 60_000 });
    const waiter = await trial.ask();
    await trial.pass(LIMITS.waitMsMax, 100);
    expect(busyOf(waiter).reason).toBe('wait_ended');
    await trial.release(holder.token);
    await trial.expectRest();
  });

  it('that cannot succeed is refused at once, with the usual end of the rebuild as its retry hint', async () => {
    const trial = new CoordinationTrial();
    for (let at = 0; at < 20; at += 1) {
      const { token } = await trial.lease({ intent: 'refresh' });
      trial.clock.advance(800);
      await trial.publish(token, 'a value', { ttlMs: 1 });
      trial.clock.advance(1);
    }
    const holder = await trial.lease();
    const refused = busyOf(await trial.ask({ waitMs: 500 }));
    expect(refused.reason).toBe('deadline_too_short');
    // 800 ms, plus a deviation that has become small, plus at most a quarter so that callers do not return together.
    expect(refused.retryAfterMs).toBeGreaterThanOrEqual(800);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(1_010);
    const patient = await trial.ask({ waitMs: 2_000 });
    expect(isWaiting(patient)).toBe(true);
    await trial.publish(holder.token);
    hitOf(patient);
    await trial.expectRest();
  });

  it('of 0 gets a lease if one is free, else Busy at once', async () => {
    const trial = new CoordinationTrial();
    const holder = leaseOf(await trial.ask({ waitMs: 0 }));
    expect(busyOf(await trial.ask({ waitMs: 0 }))).toMatchObject({ reason: 'wait_ended' });
    await trial.release(holder.token);
    leaseOf(await trial.ask({ waitMs: 0 }));
    await trial.expectRest();
  });

  it('of 0 during another attempt is answered by a later read', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.quorum.holdBefore('acquire');
    const first = trial.send();
    await gate.reached;
    const impatient = trial.send({ waitMs: 0 });
    gate.open();
    await trial.settle();
    leaseOf(first);
    expect(busyOf(impatient).reason).toBe('wait_ended');
    await trial.expectRest();
  });

  it('of 0 is Busy after one attempt without a winner', async () => {
    const trial = new CoordinationTrial();
    trial.quorum.undecided = 1;
    expect(busyOf(await trial.ask({ waitMs: 0 })).reason).toBe('undecided');
    expect(trial.quorum.countOf('acquire')).toBe(1);
    await trial.expectRest();
  });

  it('lasts through votes without a winner, with pauses that grow up to a bound', async () => {
    const trial = new CoordinationTrial();
    trial.quorum.undecided = 10;
    const asked = await trial.ask();
    expect(isWaiting(asked)).toBe(true);
    // Full jitter over 8, 16, … 250 ms: ten pauses never exceed the sum of those ranges.
    await trial.pass(1_600, 5);
    leaseOf(asked);
    expect(trial.quorum.countOf('acquire')).toBe(11);
    await trial.expectRest();
  });

  it('ends after the lease of a dead holder, at most a poll and the jitter later', async () => {
    const trial = new CoordinationTrial();
    await trial.lease({ leaseMs: 2_000 });
    const waiter = await trial.ask();
    await trial.pass(1_900);
    expect(isWaiting(waiter)).toBe(true);
    await trial.pass(1_200);
    expect(leaseOf(waiter).reason).toBe('holder_lost');
    await trial.expectRest();
  });

  it('is ended by the poll if no wake arrives', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const holder = await trial.lease();
    const waiter = await trial.ask({}, new Call(), there);
    there.close();
    await trial.publish(holder.token);
    expect(isWaiting(waiter)).toBe(true);
    await trial.pass(1_050);
    expect(textIn(hitOf(waiter))).toBe('a value');
    await trial.expectRest();
  });

  it('is ended by a wake from another replica', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const holder = await trial.lease();
    const waiter = await trial.ask({}, new Call(), there);
    await trial.publish(holder.token);
    expect(textIn(hitOf(waiter))).toBe('a value');
    await trial.expectRest();
  });

  it('is ended by a new subscription, because earlier wakes may be lost', async () => {
    const trial = new CoordinationTrial();
    // Its channel delivers nothing.
    const listen = vi.spyOn(trial.wakes, 'listen').mockReturnValue(() => {});
    const there = trial.replica();
    const [[listener] = []] = listen.mock.calls;
    const holder = await trial.lease();
    const waiter = await trial.ask({}, new Call(), there);
    await trial.publish(holder.token);
    expect(isWaiting(waiter)).toBe(true);
    listener?.resubscribed();
    await trial.settle();
    expect(textIn(hitOf(waiter))).toBe('a value');
    await trial.expectRest();
  });

  it('does not begin because of a read that was sent before the caller came', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const holder = await trial.lease();
    const early = await trial.ask({}, new Call(), there);
    there.close();
    // The wake is lost. Waiters learn of the publish by their poll, and a new caller reads at once.
    await trial.publish(holder.token);
    expect(isWaiting(early)).toBe(true);
    expect(textIn(hitOf(await trial.ask({ waitMs: 10 }, new Call(), there)))).toBe('a value');
    expect(textIn(hitOf(early))).toBe('a value');
    await trial.expectRest();
  });

  it('is refused only by a read that was sent after the caller came', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    // The wake of the publish is lost.
    there.close();
    const gate = trial.store.holdAfter('read');
    const early = trial.send({ intent: 'read' }, new Call(), there);
    await gate.reached;
    await trial.publish((await trial.lease()).token);
    const late = trial.send({ intent: 'read' }, new Call(), there);
    gate.open();
    await trial.settle();
    expect(busyOf(early).reason).toBe('no_value');
    expect(textIn(hitOf(late))).toBe('a value');
    await trial.expectRest();
  });

  it('is not prolonged by a long attempt of another caller', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const gate = trial.quorum.holdBefore('acquire');
    const trying = trial.send({}, new Call(), there);
    await gate.reached;
    await trial.publish((await trial.lease()).token);
    expect(textIn(hitOf(await trial.ask({ waitMs: 10 }, new Call(), there)))).toBe('a value');
    gate.open();
    await trial.settle();
    expect(textIn(hitOf(trying))).toBe('a value');
    await trial.expectRest();
  });

  it('whose attempt ended without a lease gets what was read meanwhile', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token);
    // A refresh runs, and the value is fresh.
    await trial.lease({ intent: 'refresh' });
    const there = trial.replica();
    trial.store.down = true;
    const gate = trial.quorum.holdBefore('acquire');
    const early = trial.send({ read: 'store' }, new Call(), there);
    await gate.reached;
    trial.store.down = false;
    const late = await trial.ask({ read: 'store' }, new Call(), there);
    expect(textIn(hitOf(late))).toBe('a value');
    trial.quorum.undecided = 1;
    gate.open();
    await trial.pass(100);
    expect(textIn(hitOf(early))).toBe('a value');
  });

  it("after the last caller has left does not depend on that caller's attempt", async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const gate = trial.quorum.holdBefore('acquire');
    const gone = trial.send({}, new Call(), there);
    await gate.reached;
    gone.call.cancel();
    await trial.publish((await trial.lease()).token);
    expect(textIn(hitOf(await trial.ask({ waitMs: 10 }, new Call(), there)))).toBe('a value');
    gate.open();
    await trial.expectRest();
  });

  it('of 0 ends within a second, however long its attempt takes', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.quorum.holdBefore('acquire');
    const impatient = await trial.ask({ waitMs: 0 });
    await trial.pass(940);
    expect(isWaiting(impatient)).toBe(true);
    await trial.pass(20);
    expect(busyOf(impatient).reason).toBe('undecided');
    gate.open();
    await trial.expectRest();
  });

  it('reads again if a wake comes between the read and the sleep', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const holder = await trial.lease();
    const gate = trial.store.holdAfter('read');
    const waiter = trial.send({}, new Call(), there);
    await gate.reached;
    await trial.publish(holder.token);
    gate.open();
    await trial.settle();
    expect(textIn(hitOf(waiter))).toBe('a value');
    await trial.expectRest();
  });

  it('ends at once when its caller leaves', async () => {
    const trial = new CoordinationTrial();
    await trial.lease();
    const waiter = await trial.ask();
    waiter.call.cancel();
    await trial.settle();
    expect(waiter.error).toBeInstanceOf(CoordinationError);
    expect(trial.told('waited')).toEqual([['trial', 'cancelled', 0]]);
    await trial.expectRest();
  });

  it('passes the lease to the next caller when the oldest has left', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    const [gone, next] = [await trial.ask(), await trial.ask()];
    gone.call.cancel();
    await trial.release(holder.token);
    leaseOf(next);
    await trial.expectRest();
  });
});

describe('the limits of waiters', () => {
  it('refuse a newcomer at a full key, and keep the waiters there', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    const waiting = Array.from({ length: LIMITS.waitersPerKeyMax }, () => trial.send());
    const newcomer = await trial.ask();
    expect(newcomer.error).toMatchObject({ kind: 'exhausted', message: /DIBS_WAITERS_PER_KEY/ });
    expect((newcomer.error as CoordinationError).retryAfterMs).toBeGreaterThan(0);
    await trial.publish(holder.token);
    for (const asked of waiting) hitOf(asked);
    await trial.expectRest();
  });

  it('refuse a newcomer on a full replica, until a waiter leaves', async () => {
    const trial = new CoordinationTrial();
    const at = (key: string) => ({ key: keyOf('trial', key) });
    await trial.lease(at('one'));
    await trial.lease(at('two'));
    const waiting = [
      ...Array.from({ length: 4 }, () => trial.send(at('one'))),
      ...Array.from({ length: 4 }, () => trial.send(at('two'))),
    ];
    await trial.settle();
    expect(waiting.length).toBe(LIMITS.waitersMax);
    expect((await trial.ask(at('three'))).error).toMatchObject({
      kind: 'exhausted',
      message: /DIBS_WAITERS\)/,
    });
    waiting[0]?.call.cancel();
    leaseOf(await trial.ask(at('three')));
    for (const asked of waiting) asked.call.cancel();
    await trial.expectRest();
  });
});
