import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import type { Token } from '../../../../src/coordination/words/token.js';
import {
  type Asked,
  busyOf,
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
} from '../../../support/coordination-trial.js';

const keys = Array.from({ length: 8 }, (_, at) => keyOf('trial', `key ${at}`));

function trialOf(maxRebuilds: number) {
  const trial = new CoordinationTrial();
  trial.policy = { ...trial.policy, maxRebuilds };
  const publish = async (asked: Asked, at: number, over = {}) => {
    const { token } = leaseOf(asked);
    const key = keys[at] as (typeof keys)[0];
    return trial.publish(token, 'v', { key, ...over });
  };
  const ask = (at: number, request = {}, replica = trial.coordinator) =>
    trial.ask({ key: keys[at] as (typeof keys)[0], ...request }, new Call(), replica);
  const leased = (all: Asked[]) => all.filter(({ answer }) => answer?.outcome.kind === 'lease').length;
  return { trial, ask, publish, leased };
}

describe('max_rebuilds', () => {
  it('lets that many rebuilds run at once, over all keys and replicas, and another whenever one ends', async () => {
    const { trial, ask, publish } = trialOf(2);
    const there = trial.replica();
    const all: Asked[] = [];
    for (let at = 0; at < 6; at += 1) all.push(await ask(at, {}, at % 2 === 0 ? there : trial.coordinator));
    const done = new Set<number>();
    while (done.size < all.length) {
      const running = all.flatMap((asked, at) => (isWaiting(asked) || done.has(at) ? [] : [at]));
      expect(running.length).toBe(Math.min(2, all.length - done.size));
      const [at = 0] = running;
      await publish(all[at] as Asked, at);
      done.add(at);
      await trial.pass(20, 5);
    }
    await trial.expectRest();
  });

  it('lets only the first waiter in line ask for a slot', async () => {
    const { trial, ask } = trialOf(1);
    await ask(0);
    for (let at = 1; at < 6; at += 1) await ask(at);
    const before = trial.namespaces.countOf('enter');
    await trial.pass(3_000, 50);
    // The first waiter polls one to four times a second. The others do not ask.
    expect(trial.namespaces.countOf('enter') - before).toBeLessThanOrEqual(12);
  });

  it('serves the stale value to a caller that finds no slot', async () => {
    const { trial, ask, publish } = trialOf(1);
    await publish(await ask(0), 0, { ttlMs: 100, staleMs: 60_000 });
    await trial.pass(101, 101);
    await ask(1);
    expect(hitOf(await ask(0))).toMatchObject({ freshForMs: 0 });
  });

  it('answers Busy (budget) to a caller that does not wait or whose wait ends', async () => {
    const { trial, ask } = trialOf(1);
    await ask(0);
    expect(busyOf(await ask(1, { waitMs: 0 })).reason).toBe('budget');
    const waiter = await ask(2, { waitMs: 500 });
    await trial.pass(510, 10);
    expect(busyOf(waiter).reason).toBe('budget');
  });

  it('passes a slot on when the first in line has left', async () => {
    const { ask, publish } = trialOf(1);
    const holder = await ask(0);
    const first = await ask(1);
    const second = await ask(2);
    first.call.cancel();
    await publish(holder, 0);
    leaseOf(second);
  });

  it.each([
    ['released', (trial: CoordinationTrial, token: Token) => trial.release(token)],
    ['invalidated', (trial: CoordinationTrial) => trial.invalidate()],
  ])('frees the slot of a lease that is %s', async (_how, end) => {
    const { trial, ask } = trialOf(1);
    const { token } = await trial.lease();
    const waiter = await ask(1);
    expect(isWaiting(waiter)).toBe(true);
    await end(trial, token);
    leaseOf(waiter);
  });

  it('frees the slot of a dead holder when its lease ends', async () => {
    const { trial, ask } = trialOf(1);
    await ask(0, { leaseMs: 500 });
    const waiter = await ask(1);
    await trial.pass(1_600, 10);
    leaseOf(waiter);
  });

  it('keeps a slot taken while its lease is extended', async () => {
    const { trial, ask } = trialOf(1);
    const { token } = await trial.lease({ leaseMs: 500 });
    const waiter = await ask(1);
    for (let at = 0; at < 6; at += 1) {
      await trial.pass(300, 10);
      await trial.extend(token);
    }
    expect(isWaiting(waiter)).toBe(true);
  });

  it('keeps a slot taken as long as its lease, also one that is extended by less', async () => {
    const { trial, ask } = trialOf(1);
    const { token } = leaseOf(await ask(0, { leaseMs: 10_000 }));
    await trial.coordinator.extend({ key: keys[0] as (typeof keys)[0], token, leaseMs: 200 }, new Call());
    await trial.pass(500);
    busyOf(await ask(1, { waitMs: 0 }));
  });

  it('frees the slot of a lease that was voided while it was armed', async () => {
    const { trial, ask } = trialOf(1);
    const arming = trial.store.holdAfter('arm');
    const asked = await trial.ask();
    expect((await trial.invalidate()).leasesVoided).toBe(1);
    arming.open();
    await trial.settle();
    expect((await trial.extend(leaseOf(asked).token)).outcome).toBe('lost');
    leaseOf(await ask(1, { waitMs: 0 }));
  });

  it('frees the slot of an attempt without a lease', async () => {
    const { trial, ask } = trialOf(1);
    trial.quorum.undecided = 1;
    expect(busyOf(await ask(0, { waitMs: 0 })).reason).toBe('undecided');
    leaseOf(await ask(1));
  });

  it('frees the slot of an attempt that ended with an error', async () => {
    const { trial, ask } = trialOf(1);
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    trial.quorum.lost = true;
    expect((await ask(0)).error).toMatchObject({ kind: 'unavailable' });
    trial.quorum.lost = false;
    leaseOf(await ask(1, { waitMs: 0 }));
  });

  it('frees a slot that was taken after its attempt had given up on a late store', async () => {
    const { trial, ask } = trialOf(1);
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    const entering = trial.namespaces.holdBefore('enter');
    const late = await ask(0, { waitMs: 950 });
    await trial.pass(1_000);
    expect(busyOf(late).reason).toBe('budget');
    entering.open();
    await trial.settle();
    leaseOf(await ask(1, { waitMs: 0 }));
  });

  it.each([
    ['published', (trial: CoordinationTrial, token: Token) => trial.publish(token)],
    ['released', (trial: CoordinationTrial, token: Token) => trial.release(token)],
  ])('frees the slot of a lease without the store that is %s', async (_how, end) => {
    const { trial, ask } = trialOf(1);
    trial.store.losesRepliesTo.add('arm');
    const { token } = await trial.lease();
    expect(token.kind).toBe('quorum');
    trial.store.losesRepliesTo.clear();
    await end(trial, token);
    leaseOf(await ask(1, { waitMs: 0 }));
  });

  it('keeps the slot of a lease without the store while that is extended', async () => {
    const { trial, ask } = trialOf(1);
    trial.store.losesRepliesTo.add('arm');
    const { token } = await trial.lease({ leaseMs: 500 });
    trial.store.losesRepliesTo.clear();
    for (let at = 0; at < 4; at += 1) {
      await trial.pass(300, 10);
      expect((await trial.extend(token)).outcome).toBe('extended');
    }
    expect(busyOf(await ask(1, { waitMs: 0 })).reason).toBe('budget');
  });

  it('lets no key stand in line that waits for a lease of another replica', async () => {
    const { trial, ask, publish } = trialOf(2);
    const there = trial.replica();
    const [one, other] = [await ask(2), await ask(3)];
    const first = await ask(0, { waitMs: 30_000 });
    // No replica is told of the free slots, and the other one comes first.
    trial.wakes.silent = true;
    await publish(one, 2);
    leaseOf(await ask(0, {}, there));
    await publish(other, 3);
    await trial.pass(1_100);
    expect(isWaiting(first)).toBe(true);
    leaseOf(await ask(1, { waitMs: 0 }));
  });

  it('without the store applies to each replica', async () => {
    const { trial, ask, leased } = trialOf(2);
    trial.store.down = true;
    const all: Asked[] = [];
    for (let at = 0; at < 4; at += 1) all.push(await ask(at, { waitMs: 0 }));
    expect(leased(all)).toBe(2);
  });

  it('without the store applies to keys that miss at the same time', async () => {
    const { trial, leased } = trialOf(2);
    trial.store.down = true;
    const all = keys.slice(0, 6).map((key) => trial.send({ key, waitMs: 0 }));
    await trial.settle();
    expect(leased(all)).toBe(2);
    expect(all.filter(({ answer }) => answer?.outcome.kind === 'busy')).toHaveLength(4);
  });

  it('without the store frees the slot of an attempt without a lease', async () => {
    const { trial, ask } = trialOf(1);
    trial.store.down = true;
    await trial.quorum.acquire(keys[0]?.id ?? '', 'of another replica', 10_000);
    busyOf(await ask(0, { waitMs: 0 }));
    leaseOf(await ask(1, { waitMs: 0 }));
  });

  it('of 0 asks for no slots', async () => {
    const { trial, ask, publish } = trialOf(0);
    await publish(await ask(0), 0);
    expect(trial.namespaces.asked).not.toContain('enter');
    expect(trial.namespaces.asked).not.toContain('leave');
  });
});
