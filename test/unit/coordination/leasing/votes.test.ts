import { describe, expect, it } from 'vitest';
import type { Candidate } from '../../../../src/coordination/leasing/attempt.js';
import { EarlyVotes } from '../../../../src/coordination/leasing/votes.js';
import type { Ballot } from '../../../../src/coordination/ports/lease-quorum.js';
import { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import type { GetOrLock } from '../../../../src/coordination/words/requests.js';
import { CoordinationTrial, hitOf, leaseOf, textIn } from '../../../support/coordination-trial.js';
import { ManualClock } from '../../../support/manual-clock.js';

const TTL_MS = 1_000;

/** A replica that has read a value that has expired since. `votes` and `arms` count from now on. */
async function afterAValue({ passMs = TTL_MS + 100, leaseMs = 10_000 } = {}) {
  const trial = new CoordinationTrial();
  trial.nearCacheBytes = 1_000_000;
  const replica = trial.replica();
  await trial.publish((await trial.lease({ leaseMs })).token, 'old', { ttlMs: TTL_MS });
  hitOf(await trial.ask({}, new Call(), replica));
  await trial.pass(passMs, 100);
  const [votesBefore, armsBefore] = [trial.quorum.countOf('acquire'), trial.store.countOf('arm')];
  trial.quorum.released.length = 0;
  return {
    trial,
    send: (request: Partial<GetOrLock> = {}, call = new Call()) =>
      trial.send({ leaseMs, ...request }, call, replica),
    votes: () => trial.quorum.countOf('acquire') - votesBefore,
    arms: () => trial.store.countOf('arm') - armsBefore,
  };
}

describe('the votes for a key whose value has expired', () => {
  it('are requested together with the read, and the lease is armed when both have replied', async () => {
    const { trial, send, votes, arms } = await afterAValue();
    const reading = trial.store.holdAfter('read');
    const first = send();
    await reading.reached;
    await trial.settle();
    expect([votes(), arms()]).toEqual([1, 0]);
    reading.open();
    await trial.settle();
    expect([votes(), arms()]).toEqual([1, 1]);
    expect(trial.quorum.released).toEqual([]);
    await trial.publish(leaseOf(first).token, 'new');
    await trial.expectRest();
  });

  it('delay the arm until they are known', async () => {
    const { trial, send, votes, arms } = await afterAValue();
    const voting = trial.quorum.holdAfter('acquire');
    const first = send();
    await voting.reached;
    await trial.settle();
    expect([votes(), arms()]).toEqual([1, 0]);
    voting.open();
    await trial.settle();
    leaseOf(first);
  });

  it.each<[string, Partial<GetOrLock>]>([
    ['reads the store', { read: 'store' }],
    ['only reads', { intent: 'read' }],
    ['refreshes a fresh value', { intent: 'refresh' }],
  ])('are not requested for a caller that %s', async (_what, request) => {
    const { trial, send, votes } = await afterAValue();
    const reading = trial.store.holdAfter('read');
    send(request);
    await reading.reached;
    await trial.settle();
    expect(votes()).toBe(0);
    reading.open();
    await trial.settle();
  });

  it.each<[string, (trial: CoordinationTrial) => void]>([
    ['the wake channel is down', (trial) => trial.wakes.lose()],
    [
      'a rebuild needs a slot',
      (trial) => {
        trial.policy = { ...trial.policy, maxRebuilds: 1 };
      },
    ],
  ])('are not requested if %s', async (_where, change) => {
    const { trial, send, votes } = await afterAValue();
    change(trial);
    const reading = trial.store.holdAfter('read');
    send();
    await reading.reached;
    await trial.settle();
    expect(votes()).toBe(0);
    reading.open();
    await trial.settle();
  });

  it('are not requested before the value has expired', async () => {
    const { trial, send, votes } = await afterAValue({ passMs: TTL_MS - 100 });
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('old');
    const hit = send();
    await trial.settle();
    expect(textIn(hitOf(hit))).toBe('old');
    expect(votes()).toBe(0);
  });

  it('are given back if the read returns a fresh value', async () => {
    const { trial, send, votes, arms } = await afterAValue();
    trial.wakes.silent = true;
    await trial.publish((await trial.lease()).token, 'new');
    const hit = send();
    await trial.settle();
    expect(textIn(hitOf(hit))).toBe('new');
    expect([votes(), arms()]).toEqual([2, 1]);
    await trial.expectRest();
    // Another caller finds the key unlocked.
    await trial.invalidate();
    leaseOf(await trial.ask({ waitMs: 0 }));
  });
});

/** Votes for a lease of 900 ms by the identity `one`, and the nonces that were released. */
function early(ballot: Ballot = { kind: 'granted', nonce: 'n', validUntilMs: 0 }) {
  const clock = new ManualClock();
  const released: string[] = [];
  const release = async (_id: string, nonce: string) => void released.push(nonce);
  const voted = { key: keyOf('trial', 'a key'), nonce: 'n', identity: 'one', leaseMs: 900 };
  const votes = new EarlyVotes(
    { ...voted, askedMs: clock.nowMs(), ballot: Promise.resolve(ballot) },
    { release },
    clock,
  );
  return { clock, votes, released };
}

function candidate(request: Partial<GetOrLock> = {}, identity = 'one'): Candidate {
  return { request, call: new Call(identity) } as unknown as Candidate;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('early votes', () => {
  it('are used once', async () => {
    const { votes, released } = early();
    expect(votes.take(candidate(), 900)?.nonce).toBe('n');
    expect(votes.take(candidate(), 900)).toBeUndefined();
    votes.giveUp();
    await settled();
    expect(released).toEqual([]);
  });

  it.each<[string, boolean, Candidate, number, number]>([
    ['of another identity', false, candidate({}, 'another'), 900, 0],
    ['that reads the store', false, candidate({ read: 'store' }), 900, 0],
    ['whose learned length is 1.5 times as long', true, candidate(), 1_350, 0],
    ['whose learned length is longer than that', false, candidate(), 1_351, 0],
    ['whose learned length is two thirds as long', true, candidate(), 600, 0],
    ['whose learned length is shorter than that', false, candidate(), 599, 0],
    ['that asks for the same length', true, candidate({ leaseMs: 900 }), 900, 0],
    ['that asks for another length', false, candidate({ leaseMs: 901 }), 901, 0],
    ['whose read took just below a quarter of the lease', true, candidate(), 900, 224],
    ['whose read took a quarter of the lease', false, candidate(), 900, 225],
  ])('for a caller %s are used: %s', async (_what, isTaken, waiter, wantedMs, passedMs) => {
    const { clock, votes, released } = early();
    clock.advance(passedMs);
    expect(votes.take(waiter, wantedMs) !== undefined).toBe(isTaken);
    await settled();
    expect(released).toEqual(isTaken ? [] : ['n']);
  });

  it('that were not granted need no release', async () => {
    const { votes, released } = early({ kind: 'held' });
    votes.giveUp();
    await settled();
    expect(released).toEqual([]);
  });
});
