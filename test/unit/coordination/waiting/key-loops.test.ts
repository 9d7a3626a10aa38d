import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import {
  type Asked,
  CoordinationTrial,
  failedOf,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../../support/coordination-trial.js';

describe('the callers of one key', () => {
  it('share one attempt, however many come during it', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.quorum.holdBefore('acquire');
    const all = [trial.send(), trial.send(), trial.send()];
    await gate.reached;
    all.push(trial.send(), trial.send());
    gate.open();
    await trial.settle();
    const [first, ...others] = all;
    expect(first?.answer?.outcome.kind).toBe('lease');
    expect(others.every(isWaiting)).toBe(true);
    expect(trial.quorum.countOf('acquire')).toBe(1);
    await trial.publish(first?.answer?.outcome.kind === 'lease' ? first.answer.outcome.token : undefined);
    for (const other of others) expect(textIn(hitOf(other))).toBe('a value');
    await trial.expectRest();
  });

  it('get the lease one after the other, in the order of their arrival', async () => {
    const trial = new CoordinationTrial();
    const [a, b, c] = [trial.send(), trial.send(), trial.send()];
    await trial.settle();
    await trial.release(leaseOf(a).token);
    const second = leaseOf(b);
    expect(second.reason).toBe('holder_lost');
    expect(isWaiting(c)).toBe(true);
    await trial.release(second.token);
    await trial.publish(leaseOf(c).token);
    await trial.expectRest();
  });

  it('wait on each replica, and one of each replica tries when the holder releases', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const holder = await trial.lease();
    const here = [trial.send(), trial.send()];
    const yonder = [trial.send({}, new Call(), there), trial.send({}, new Call(), there)];
    await trial.settle();
    const before = trial.quorum.countOf('acquire');
    await trial.release(holder.token);
    // The replica that lost the vote tries again until the winner's lease shows in the record.
    expect(trial.quorum.countOf('acquire') - before).toBeLessThanOrEqual(3);
    const winners = [...here, ...yonder].filter((asked) => !isWaiting(asked));
    expect(winners.length).toBe(1);
    await trial.publish(leaseOf(winners[0] as never).token);
    await trial.pass(20);
    for (const asked of [...here, ...yonder]) {
      if (asked !== winners[0]) expect(textIn(hitOf(asked))).toBe('a value');
    }
    await trial.expectRest();
  });

  it('are answered by a publish on their own replica before any read', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    const waiter = await trial.ask();
    const gate = trial.store.holdBefore('read');
    await trial.publish(holder.token);
    expect(textIn(hitOf(waiter))).toBe('a value');
    gate.open();
    await trial.expectRest();
  });

  it('with READ_STORE are answered by a read after the publish that woke them', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    const waiter = await trial.ask({ read: 'store' });
    const reads = trial.store.countOf('read');
    await trial.publish(holder.token);
    expect(textIn(hitOf(waiter))).toBe('a value');
    expect(trial.store.countOf('read')).toBeGreaterThan(reads);
    await trial.expectRest();
  });

  it('share one read if they come before it is sent, with READ_STORE too', async () => {
    const trial = new CoordinationTrial();
    const turn = trial.clock.holdTurn();
    const all = [trial.send()];
    await turn.reached;
    // One more joins in each of the next turns.
    const next = trial.clock.holdTurn();
    all.push(trial.send({ read: 'store' }));
    turn.open();
    await next.reached;
    all.push(trial.send());
    const reading = trial.store.holdAfter('read');
    next.open();
    await reading.reached;
    expect(trial.store.countOf('read')).toBe(1);
    reading.open();
    await trial.settle();
    await trial.publish(leaseOf(all[0] as Asked).token);
    for (const other of all.slice(1)) expect(textIn(hitOf(other))).toBe('a value');
    await trial.expectRest();
  });

  it('do not delay the read forever, however many come', async () => {
    const trial = new CoordinationTrial();
    let held = trial.clock.holdTurn();
    const first = trial.send();
    for (let turn = 1; turn <= 4; turn += 1) {
      await held.reached;
      trial.send().call.cancel();
      const next = trial.clock.holdTurn();
      held.open();
      held = next;
    }
    await trial.settle();
    expect(leaseOf(first).reason).toBe('miss');
  });

  it('with READ_STORE share no read that was sent before they came', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('read');
    const first = trial.send();
    await gate.reached;
    const late = trial.send({ read: 'store' });
    gate.open();
    await trial.settle();
    await trial.publish(leaseOf(first).token);
    expect(textIn(hitOf(late))).toBe('a value');
    expect(trial.store.countOf('read')).toBeGreaterThanOrEqual(2);
    await trial.expectRest();
  });

  it('share a read that is under way when they come, except with READ_STORE', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token);
    const reads = trial.store.countOf('read');
    const gate = trial.store.holdAfter('read');
    const first = trial.send();
    await gate.reached;
    const second = trial.send();
    gate.open();
    await trial.settle();
    expect([textIn(hitOf(first)), textIn(hitOf(second))]).toEqual(['a value', 'a value']);
    expect(trial.store.countOf('read') - reads).toBe(1);
    await trial.expectRest();
  });

  it('get the stale value at once while one of them rebuilds, which gets it as the previous value', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token, 'old', { ttlMs: 1_000, staleMs: 60_000 });
    trial.clock.advance(1_001);
    const [one, other] = [trial.send(), trial.send()];
    await trial.settle();
    const lease = leaseOf(one);
    expect(lease.reason).toBe('expired');
    expect(lease.previous && textIn(lease.previous)).toBe('old');
    expect(hitOf(other)).toMatchObject({ freshForMs: 0, rebuilding: true });
    const forbids = await trial.ask({ stale: 'forbid' });
    expect(isWaiting(forbids)).toBe(true);
    await trial.publish(lease.token, 'new');
    expect(textIn(hitOf(forbids))).toBe('new');
    await trial.expectRest();
  });

  it('get the failure that they waited for, and so do callers during its back-off', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    const waiter = await trial.ask();
    await trial.release(holder.token, { message: 'no database' });
    expect(failedOf(waiter)).toMatchObject({ message: 'no database' });
    // Increased by at most a quarter, so that they do not return together or too early.
    expect(failedOf(waiter).retryAfterMs).toBeGreaterThanOrEqual(trial.policy.failureBackoffMs);
    expect(failedOf(waiter).retryAfterMs).toBeLessThanOrEqual(trial.policy.failureBackoffMs * 1.25);
    failedOf(await trial.ask());
    trial.clock.advance(trial.policy.failureBackoffMs);
    leaseOf(await trial.ask());
    await trial.expectRest();
  });

  it('get the failure that they waited for even if the holder asks for no back-off', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    const waiter = await trial.ask();
    await trial.release(holder.token, { message: 'my fault', retryAfterMs: 0 });
    expect(failedOf(waiter)).toMatchObject({ message: 'my fault', retryAfterMs: 0 });
    leaseOf(await trial.ask());
    await trial.expectRest();
  });
});

describe('early refresh', () => {
  /** A value that stays fresh for 60 ms and took 100 ms to rebuild. */
  async function nearItsEnd(): Promise<CoordinationTrial> {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    trial.clock.advance(100);
    await trial.publish(token, 'old', { ttlMs: 1_000, staleMs: 1_000 });
    trial.clock.advance(940);
    // So large that every caller is drawn.
    trial.policy = { ...trial.policy, earlyRefreshBeta: 1e9 };
    return trial;
  }

  it('grants the lease with the value to one caller, and gives the value to all others', async () => {
    const trial = await nearItsEnd();
    const [one, ...others] = [trial.send(), trial.send(), trial.send()];
    await trial.settle();
    const lease = leaseOf(one);
    expect(lease.reason).toBe('early_refresh');
    expect(lease.previous && textIn(lease.previous)).toBe('old');
    for (const other of [...others, await trial.ask()]) expect(textIn(hitOf(other))).toBe('old');
    await trial.publish(lease.token, 'new');
    trial.policy = { ...trial.policy, earlyRefreshBeta: 0 };
    expect(textIn(hitOf(await trial.ask()))).toBe('new');
    await trial.expectRest();
  });

  it('still gives the value to a caller whose wait ends during the attempt', async () => {
    const trial = await nearItsEnd();
    const gate = trial.quorum.holdBefore('acquire');
    const drawn = trial.send({ waitMs: 20 });
    await gate.reached;
    await trial.pass(20, 5);
    expect(textIn(hitOf(drawn))).toBe('old');
    gate.open();
    await trial.expectRest();
  });

  it('is attempted by one caller at a time: others that are drawn get the value at once', async () => {
    const trial = await nearItsEnd();
    const gate = trial.quorum.holdBefore('acquire');
    const first = trial.send();
    await gate.reached;
    expect(textIn(hitOf(await trial.ask()))).toBe('old');
    gate.open();
    await trial.settle();
    expect(leaseOf(first).reason).toBe('early_refresh');
    await trial.expectRest();
  });

  it('gives the value without a wait if the vote has no winner', async () => {
    const trial = await nearItsEnd();
    trial.quorum.undecided = 1;
    expect(textIn(hitOf(await trial.ask()))).toBe('old');
    expect(trial.quorum.countOf('acquire')).toBe(2);
    await trial.expectRest();
  });

  it('gives the value if the quorum is lost in a namespace with on_loss: fail', async () => {
    const trial = await nearItsEnd();
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    trial.quorum.lost = true;
    expect(textIn(hitOf(await trial.ask()))).toBe('old');
    await trial.expectRest();
  });

  it('is not attempted by a draining replica', async () => {
    const trial = await nearItsEnd();
    trial.coordinator.drain();
    expect(textIn(hitOf(await trial.ask()))).toBe('old');
    await trial.expectRest();
  });
});

describe('the key loops', () => {
  it('count only callers that got the rebuild of another one as saved', async () => {
    const trial = new CoordinationTrial();
    const holder = await trial.lease();
    const waiters = [await trial.ask(), await trial.ask()];
    await trial.publish(holder.token);
    for (const waiter of waiters) hitOf(waiter);
    hitOf(await trial.ask());
    expect(trial.told('saved')).toEqual([
      ['trial', 1],
      ['trial', 1],
    ]);
    expect(trial.told('answered').map(([, outcome]) => outcome)).toEqual(['lease', 'hit', 'hit', 'hit']);
  });

  it('pass an internal error on as it is, not as a CoordinationError', async () => {
    const trial = new CoordinationTrial();
    const broken = trial.replica();
    Object.assign(trial.store, { read: () => Promise.reject(new TypeError('internal error')) });
    const asked = await trial.ask({}, new Call(), broken);
    expect(asked.error).toBeInstanceOf(TypeError);
    await trial.expectRest();
  });
});
