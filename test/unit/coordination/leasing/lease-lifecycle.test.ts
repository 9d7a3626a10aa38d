import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import type { Token } from '../../../../src/coordination/words/token.js';
import {
  CoordinationTrial,
  failedOf,
  hitOf,
  isWaiting,
  leaseOf,
  receivedToken,
} from '../../../support/coordination-trial.js';

/** What an invalid token is decoded to. */
const GARBAGE = undefined;
const OTHER = keyOf('trial', 'another');
const STRANGER = { kind: 'armed', nonce: 'x'.repeat(22), fence: 1, leaseMs: 1_000 } as const;

describe('a release', () => {
  it('ends the lease everywhere, once', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    expect(await trial.release(token)).toBe('released');
    expect(await trial.release(token)).toBe('not_held');
    expect((await trial.publish(token)).outcome).not.toBe('stored');
    leaseOf(await trial.ask({ waitMs: 0 }));
    expect(trial.told('leaseEnded')).toEqual([['trial', 'released', 0, '']]);
  });

  it('of an unknown token touches no lease', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    expect(await trial.release(STRANGER)).toBe('not_held');
    expect(await trial.release(GARBAGE)).toBe('not_held');
    expect((await trial.publish(token)).outcome).toBe('stored');
  });

  it('by another identity touches no lease', async () => {
    const trial = new CoordinationTrial();
    const { token } = leaseOf(await trial.ask({}, new Call('checkout')));
    const { key } = trial;
    for (const identity of ['search', '']) {
      expect(
        await trial.coordinator.release(
          { key, token: receivedToken(identity, key, token) },
          new Call(identity),
        ),
      ).toBe('not_held');
      const failure = { message: 'no database' };
      expect(
        await trial.coordinator.release(
          { key, token: receivedToken(identity, key, token), failure },
          new Call(identity),
        ),
      ).toBe('not_held');
    }
    expect(trial.coordinator.leasesHeld).toBe(1);
    expect(
      await trial.coordinator.release(
        { key, token: receivedToken('checkout', key, token) },
        new Call('checkout'),
      ),
    ).toBe('released');
  });

  it('with a failure doubles the back-off for each failure in a row, and a publish resets it', async () => {
    const trial = new CoordinationTrial();
    const message = 'no database';
    const failing = async () => {
      await trial.release((await trial.lease()).token, { message });
      return failedOf(await trial.ask()).retryAfterMs;
    };
    const backoffsMs: number[] = [];
    for (let at = 0; at < 3; at += 1) {
      const backoffMs = await failing();
      backoffsMs.push(backoffMs);
      trial.clock.advance(1_000 * 2 ** at);
    }
    backoffsMs.forEach((ms, at) => {
      expect(ms).toBeGreaterThanOrEqual(1_000 * 2 ** at);
      expect(ms).toBeLessThanOrEqual(1_250 * 2 ** at);
    });
    await trial.publish((await trial.lease()).token, 'ok', { ttlMs: 10 });
    trial.clock.advance(10);
    expect(await failing()).toBeLessThanOrEqual(1_250);
  });

  it('with a failure of an unstored lease passes the failure on to waiters here', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    const { token } = await trial.lease();
    const waiter = await trial.ask();
    expect(await trial.release(token, { message: 'no database' })).toBe('released');
    expect(failedOf(waiter).message).toBe('no database');
    await trial.expectRest();
  });

  it('without the store is an error that allows a retry, and still breaks the lock', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    trial.store.down = true;
    await expect(trial.release(token)).rejects.toMatchObject({
      kind: 'unavailable',
      message: /again is safe/,
    });
    trial.store.down = false;
    expect(await trial.release(token)).toBe('released');
    leaseOf(await trial.ask({ waitMs: 0 }));
  });
});

describe('an extension', () => {
  it("of another identity's lease returns LOST, and leaves the lease alone", async () => {
    const trial = new CoordinationTrial();
    const { token } = leaseOf(await trial.ask({ leaseMs: 1_000 }, new Call('checkout')));
    const { key } = trial;
    const lost = { outcome: 'lost', expiresInMs: 0 };
    for (const identity of ['search', '']) {
      expect(
        await trial.coordinator.extend(
          { key, token: receivedToken(identity, key, token) },
          new Call(identity),
        ),
      ).toEqual(lost);
    }
    const extended = await trial.coordinator.extend(
      { key, token: receivedToken('checkout', key, token) },
      new Call('checkout'),
    );
    expect(extended.outcome).toBe('extended');
  });

  it('lets the lease last its full length from now on', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    trial.clock.advance(600);
    expect(await trial.extend(token)).toEqual({ outcome: 'extended', expiresInMs: 988 });
    const waiter = await trial.ask();
    await trial.pass(950);
    expect(isWaiting(waiter)).toBe(true);
    expect((await trial.publish(token)).outcome).toBe('stored');
    hitOf(waiter);
    await trial.expectRest();
  });

  it('never shortens the lease', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 10_000 });
    const waiter = await trial.ask();
    await trial.extend(token, 100);
    await trial.pass(1_500);
    expect(isWaiting(waiter)).toBe(true);
    await trial.publish(token);
    await trial.expectRest();
  });

  it('works on a replica other than the one that granted the lease', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    expect(await trial.extend(token, 5_000, trial.replica())).toMatchObject({ outcome: 'extended' });
  });

  it.each([
    [
      'of a lease that was released',
      async (trial: CoordinationTrial, token: Token) => {
        await trial.release(token);
        return token;
      },
    ],
    [
      'of a lease that an invalidation voided',
      async (trial: CoordinationTrial, token: Token) => {
        await trial.invalidate();
        return token;
      },
    ],
    [
      'of a lease that was published',
      async (trial: CoordinationTrial, token: Token) => {
        await trial.publish(token);
        return token;
      },
    ],
    [
      'of a lease that was never granted',
      async (trial: CoordinationTrial) => {
        await trial.invalidate();
        return STRANGER;
      },
    ],
    ['with an invalid token', async () => GARBAGE],
  ])('%s returns LOST, and leaves no lock behind', async (_what, end) => {
    const trial = new CoordinationTrial();
    const token = await end(trial, (await trial.lease()).token);
    expect(await trial.extend(token)).toEqual({ outcome: 'lost', expiresInMs: 0 });
    if (token === GARBAGE) return;
    await trial.invalidate();
    leaseOf(await trial.ask({ waitMs: 0 }));
  });

  it('after another caller got the lease returns LOST, and does not affect that lease', async () => {
    const trial = new CoordinationTrial();
    const late = await trial.lease({ leaseMs: 200 });
    await trial.pass(200);
    const now = await trial.lease();
    expect((await trial.extend(late.token)).outcome).toBe('lost');
    expect((await trial.publish(now.token)).outcome).toBe('stored');
  });

  it('with undecided votes keeps the old end, which only the granting replica knows', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    trial.clock.advance(400);
    trial.quorum.undecided = 1;
    expect(await trial.extend(token)).toEqual({ outcome: 'extended', expiresInMs: 588 });
    trial.quorum.undecided = 1;
    await expect(trial.extend(token, undefined, trial.replica())).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });

  it('without the quorum is made at the store alone, and then excludes all others', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    trial.quorum.lost = true;
    expect((await trial.extend(token, 5_000)).outcome).toBe('extended');
    trial.quorum.lost = false;
    const waiter = await trial.ask();
    await trial.pass(3_000);
    expect(isWaiting(waiter)).toBe(true);
    expect((await trial.publish(token)).outcome).toBe('stored');
    hitOf(waiter);
    await trial.expectRest();
  });

  it('without the quorum also excludes callers with an older read, even if the lock nodes vote again', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    trial.clock.advance(1_001);
    const gate = trial.quorum.holdBefore('acquire');
    const other = trial.send();
    await gate.reached;
    trial.quorum.lost = true;
    expect((await trial.extend(token, 5_000)).outcome).toBe('extended');
    trial.quorum.lost = false;
    gate.open();
    await trial.settle();
    expect(isWaiting(other)).toBe(true);
    expect((await trial.publish(token)).outcome).toBe('stored');
    hitOf(other);
    await trial.expectRest();
  });

  it('without the store is made by the quorum', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    trial.store.down = true;
    expect((await trial.extend(token)).outcome).toBe('extended');
  });

  it('without both is an error that allows a retry', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    trial.store.down = true;
    trial.quorum.lost = true;
    await expect(trial.extend(token)).rejects.toMatchObject({
      kind: 'unavailable',
      message: /again is safe/,
    });
  });

  it('of an unstored lease is made by the quorum, or by the replica that granted it', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    const byQuorum = await trial.lease({ leaseMs: 1_000 });
    expect(await trial.extend(byQuorum.token)).toEqual({ outcome: 'extended', expiresInMs: 988 });
    trial.quorum.lost = true;
    const local = leaseOf(await trial.ask({ key: OTHER, leaseMs: 1_000 }));
    const extend = (replica = trial.coordinator) =>
      replica.extend({ key: OTHER, token: local.token }, new Call());
    expect(await extend()).toEqual({ outcome: 'extended', expiresInMs: 988 });
    expect(await extend(trial.replica())).toEqual({ outcome: 'lost', expiresInMs: 0 });
  });

  it('without the store does not outlast the longest lease', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, leaseHoldMsMax: 1_200 };
    const { token } = await trial.lease({ leaseMs: 1_000 });
    trial.store.down = true;
    trial.clock.advance(600);
    // The lock nodes' clocks may be fast.
    expect(await trial.extend(token)).toMatchObject({ outcome: 'extended', expiresInMs: 592 });
    trial.clock.advance(600);
    expect(await trial.extend(token)).toEqual({ outcome: 'lost', expiresInMs: 0 });
    leaseOf(await trial.ask({ waitMs: 0 }));
  });

  it('of an unstored lease whose token says that it is armed does not outlast the longest lease', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, leaseHoldMsMax: 1_200 };
    trial.store.down = true;
    const { token } = await trial.lease({ leaseMs: 1_000 });
    const changed = { ...token, kind: 'armed' } as const;
    trial.clock.advance(600);
    expect(await trial.extend(changed)).toEqual({ outcome: 'extended', expiresInMs: 600 });
    trial.clock.advance(600);
    await expect(trial.extend(changed)).rejects.toMatchObject({ kind: 'unavailable' });
    trial.clock.advance(400);
    leaseOf(await trial.ask({ waitMs: 0 }));
  });

  it.each([
    ['that was made up', async (_trial: CoordinationTrial) => STRANGER],
    [
      "of another key's lease",
      (trial: CoordinationTrial) => trial.lease({ key: OTHER }).then((it) => it.token),
    ],
  ])('without the store, with a token %s, locks nothing', async (_what, given) => {
    const trial = new CoordinationTrial();
    const token = await given(trial);
    trial.store.down = true;
    await expect(trial.extend(token)).rejects.toMatchObject({ kind: 'unavailable', message: /safe/ });
    leaseOf(await trial.ask({ waitMs: 0 }));
  });
});
