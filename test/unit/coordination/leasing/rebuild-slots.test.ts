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

describe('an origin budget', () => {
  it('lets so many rebuilds run at once, over all keys and replicas, and then one for each that ends', async () => {
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

  it('is asked for by the first in line only', async () => {
    const { trial, ask } = trialOf(1);
    await ask(0);
    for (let at = 1; at < 6; at += 1) await ask(at);
    const before = trial.namespaces.countOf('enter');
    await trial.pass(3_000, 50);
    // Its poll, between four times a second and once; the others do not ask.
    expect(trial.namespaces.countOf('enter') - before).toBeLessThanOrEqual(12);
  });

  it('serves the stale value to a caller that finds no slot', async () => {
    const { trial, ask, publish } = trialOf(1);
    await publish(await ask(0), 0, { ttlMs: 100, staleMs: 60_000 });
    await trial.pass(101, 101);
    await ask(1);
    expect(hitOf(await ask(0))).toMatchObject({ freshForMs: 0 });
  });

  it('is why a caller that does not wait, or waits no longer, is sent away', async () => {
    const { trial, ask } = trialOf(1);
    await ask(0);
    expect(busyOf(await ask(1, { waitMs: 0 })).reason).toBe('budget');
    const waiter = await ask(2, { waitMs: 500 });
    await trial.pass(510, 10);
    expect(busyOf(waiter).reason).toBe('budget');
  });

  it('passes a slot on when those who stood first in line have gone', async () => {
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
  ])('gives back the slot of a lease that is %s', async (_how, end) => {
    const { trial, ask } = trialOf(1);
    const { token } = await trial.lease();
    const waiter = await ask(1);
    expect(isWaiting(waiter)).toBe(true);
    await end(trial, token);
    leaseOf(waiter);
  });

  it('gives back the slot of a holder that died with its lease', async () => {
    const { trial, ask } = trialOf(1);
    await ask(0, { leaseMs: 500 });
    const waiter = await ask(1);
    await trial.pass(1_600, 10);
    leaseOf(waiter);
  });

  it('lets a slot last as long as its lease is extended', async () => {
    const { trial, ask } = trialOf(1);
    const { token } = await trial.lease({ leaseMs: 500 });
    const waiter = await ask(1);
    for (let at = 0; at < 6; at += 1) {
      await trial.pass(300, 10);
      await trial.extend(token);
    }
    expect(isWaiting(waiter)).toBe(true);
  });

  it('gives back the slot of an attempt that came to nothing', async () => {
    const { trial, ask } = trialOf(1);
    trial.quorum.undecided = 1;
    expect(busyOf(await ask(0, { waitMs: 0 })).reason).toBe('undecided');
    leaseOf(await ask(1));
  });

  it('without the store holds on each replica', async () => {
    const { trial, ask, leased } = trialOf(2);
    trial.store.down = true;
    const all: Asked[] = [];
    for (let at = 0; at < 4; at += 1) all.push(await ask(at, { waitMs: 0 }));
    expect(leased(all)).toBe(2);
  });

  it('costs nothing where there is none', async () => {
    const { trial, ask, publish } = trialOf(0);
    await publish(await ask(0), 0);
    expect(trial.namespaces.asked).not.toContain('enter');
    expect(trial.namespaces.asked).not.toContain('leave');
  });
});
