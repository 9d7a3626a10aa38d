import { describe, expect, test } from 'vitest';
import { RedlockQuorum } from '../../../src/quorum/redlock-quorum.js';
import { SystemChance } from '../../../src/system-chance.js';
import { leaseQuorumContract } from '../../contract/lease-quorum.contract.js';
import { ClaimInMemory } from '../../support/claim-in-memory.js';
import { freshNonce } from '../../support/fresh-nonce.js';
import { ManualClock } from '../../support/manual-clock.js';
import { SimulatedLockNode } from '../../support/simulated-lock-node.js';
import { LEASE_MS_MAX, SILENCE_MS, SimulatedQuorum, TIMEOUT_MS } from '../../support/simulated-quorum.js';

describe('the quorum over simulated nodes', () => {
  leaseQuorumContract(async () => {
    const simulated = await SimulatedQuorum.voting();
    return {
      quorum: simulated.quorum,
      other: simulated.quorum,
      clock: simulated.clock,
      pass: (ms) => simulated.pass(ms),
      close: () => simulated.quorum.close(),
    };
  });
});

describe('RedlockQuorum', () => {
  test('refuses an even number of nodes', () => {
    const clock = new ManualClock();
    const build = (count: number) =>
      new RedlockQuorum({
        nodes: Array.from({ length: count }, (_, at) => new SimulatedLockNode(`n${at}`, clock)),
        claim: new ClaimInMemory(),
        clock,
        chance: new SystemChance(),
        timeoutMs: TIMEOUT_MS,
        silenceMs: SILENCE_MS,
        leaseMsMax: LEASE_MS_MAX,
      });
    expect(() => build(4)).toThrow(RangeError);
    expect(() => build(0)).toThrow(RangeError);
    expect(() => build(3)).not.toThrow();
  });

  test('no lock lasts longer than the wait after an amnesia', async () => {
    const simulated = await SimulatedQuorum.voting();
    const nowMs = simulated.clock.nowMs();
    const ballot = await simulated.quorum.acquire('a', freshNonce(), LEASE_MS_MAX * 2);
    const validUntilMs = nowMs + LEASE_MS_MAX - 602;
    expect(ballot).toMatchObject({ kind: 'granted', validUntilMs });
    for (const node of simulated.nodes) expect(node.locks.get('a')?.untilMs).toBe(nowMs + LEASE_MS_MAX);
    const nonce = ballot.kind === 'granted' ? ballot.nonce : '';
    expect(await simulated.quorum.extend('a', nonce, LEASE_MS_MAX * 2)).toMatchObject({ validUntilMs });
  });

  test('reports nothing about its nodes once it is closed', async () => {
    const simulated = await SimulatedQuorum.voting();
    const told = simulated.changes.length;
    await simulated.quorum.close();
    await simulated.pass(1_000);
    expect(simulated.changes.slice(told)).toEqual([]);
  });

  test('the nodes get the nonce of the port, not one of the package', async () => {
    const simulated = await SimulatedQuorum.voting();
    const nonce = `${freshNonce()}.checkout`;
    expect(await simulated.quorum.acquire('a', nonce, 1_000)).toMatchObject({ kind: 'granted', nonce });
    for (const node of simulated.nodes) expect(node.locks.get('a')).toMatchObject({ nonce });
  });

  test('a lease with a fraction of a millisecond is rounded up for the nodes', async () => {
    const simulated = await SimulatedQuorum.voting();
    expect(await simulated.quorum.acquire('a', freshNonce(), 1_000.4)).toMatchObject({ kind: 'granted' });
    expect(simulated.node(0).locks.get('a')?.untilMs).toBe(simulated.clock.nowMs() + 1_001);
  });

  test('invalid lengths are refused without asking, and never reject', async () => {
    const simulated = await SimulatedQuorum.voting();
    expect(await simulated.quorum.acquire('a', freshNonce(), Number.NaN)).toEqual({ kind: 'unavailable' });
    expect(await simulated.quorum.extend('a', 'n', Number.NaN)).toEqual({ kind: 'unavailable' });
  });

  test('is late while silent nodes may only be slow, and no longer', async () => {
    const simulated = await SimulatedQuorum.voting(5);
    const ballotAfter = async (ms: number) => {
      await simulated.pass(ms);
      const ballot = simulated.quorum.acquire('a', freshNonce(), 1_000);
      await simulated.pass(TIMEOUT_MS);
      return ballot;
    };
    for (const node of simulated.nodes.slice(0, 3)) node.hang();
    expect(await ballotAfter(0)).toEqual({ kind: 'unavailable', late: true });
    expect(await ballotAfter(SILENCE_MS)).toEqual({ kind: 'unavailable', late: true });
    expect(await ballotAfter(SILENCE_MS)).toEqual({ kind: 'unavailable' });
    for (const node of simulated.nodes) node.resume();
    expect((await ballotAfter(1_000)).kind).toBe('granted');
    await simulated.quorum.close();
  });

  test('is not late if the nodes are known to be gone', async () => {
    const simulated = await SimulatedQuorum.voting(5);
    for (const node of simulated.nodes.slice(0, 3)) node.disconnect('ECONNREFUSED');
    const ballot = simulated.quorum.acquire('a', freshNonce(), 1_000);
    await simulated.pass(TIMEOUT_MS);
    expect(await ballot).toEqual({ kind: 'unavailable' });
    await simulated.quorum.close();
  });

  test('a failed attempt is released on every node, including those that did not answer', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const at of [0, 1, 2]) simulated.node(at).hang();
    for (const node of simulated.nodes) node.sent.length = 0;
    const ballot = simulated.quorum.acquire('a', freshNonce(), 1_000);
    await simulated.pass(TIMEOUT_MS);
    expect(await ballot).toEqual({ kind: 'unavailable', late: true });
    for (const node of simulated.nodes) {
      expect(node.sent.filter((step) => step !== 'ping')).toEqual(['acquire', 'release']);
    }
    // The hanging nodes apply both now, in order.
    for (const at of [0, 1, 2]) simulated.node(at).resume();
    expect(simulated.holders('a')).toEqual(Array(5).fill(undefined));
    await simulated.quorum.close();
  });

  test('the requests of many callers in one turn are one call for each node', async () => {
    const simulated = await SimulatedQuorum.voting();
    const ids = ['a', 'b', 'c'];
    const nonces = ids.map(() => freshNonce());
    const ballots = await Promise.all(
      ids.map((id, at) => simulated.quorum.acquire(id, nonces[at] as string, 1_000)),
    );
    expect(ballots.map(({ kind }) => kind)).toEqual(['granted', 'granted', 'granted']);
    await Promise.all(ids.map((id, at) => simulated.quorum.release(id, nonces[at] as string)));
    for (const node of simulated.nodes) {
      expect(node.calls).toEqual([
        ['acquire a', 'acquire b', 'acquire c'],
        ['release a', 'release b', 'release c'],
      ]);
    }
    await simulated.quorum.close();
  });

  test('a release in the turn of an extension comes after it, and the next acquire after both', async () => {
    const simulated = await SimulatedQuorum.voting();
    const [nonce, next] = [freshNonce(), freshNonce()];
    await simulated.quorum.acquire('a', nonce, 1_000);
    const asked = Promise.all([
      simulated.quorum.extend('a', nonce, 1_000),
      simulated.quorum.release('a', nonce),
      simulated.quorum.acquire('a', next, 1_000),
    ]);
    const [extended, , acquired] = await asked;
    expect([extended.kind, acquired.kind]).toEqual(['granted', 'granted']);
    expect(simulated.holders('a')).toEqual(Array(5).fill(next));
    await simulated.quorum.close();
  });

  test('the first of two callers in one turn gets the lock', async () => {
    const simulated = await SimulatedQuorum.voting();
    const [first, second] = [freshNonce(), freshNonce()];
    const ballots = await Promise.all([
      simulated.quorum.acquire('a', first, 1_000),
      // This extension would lock a free key.
      simulated.quorum.extend('a', second, 1_000),
    ]);
    expect(ballots.map(({ kind }) => kind)).toEqual(['granted', 'held']);
    await simulated.quorum.close();
  });

  test('an error for one lock does not affect the other votes of the call', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const node of simulated.nodes) node.errors.set('b', new Error('WRONGTYPE'));
    const ballots = await Promise.all(
      ['a', 'b', 'c'].map((id) => simulated.quorum.acquire(id, freshNonce(), 1_000)),
    );
    expect(ballots.map(({ kind }) => kind)).toEqual(['granted', 'unavailable', 'granted']);
    await simulated.quorum.close();
  });

  test('a long turn counts against the timeout and the validity', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const node of simulated.nodes) node.replyMs = 30;
    const askedMs = simulated.clock.nowMs();
    const first = simulated.quorum.acquire('a', freshNonce(), 1_000);
    simulated.clock.advance(TIMEOUT_MS - 40);
    await simulated.pass(30);
    expect(await first).toMatchObject({ kind: 'granted', validUntilMs: askedMs + 1_000 - 12 });
    for (const node of simulated.nodes) node.replyMs = 50;
    const second = simulated.quorum.acquire('b', freshNonce(), 1_000);
    simulated.clock.advance(TIMEOUT_MS - 40);
    await simulated.pass(200);
    expect(await second).toMatchObject({ kind: 'unavailable' });
    await simulated.quorum.close();
  });

  test('requests from before the close are sent, and settle', async () => {
    const simulated = await SimulatedQuorum.voting();
    const nonce = freshNonce();
    await simulated.quorum.acquire('a', nonce, 1_000);
    const released = simulated.quorum.release('a', nonce);
    await simulated.quorum.close();
    await released;
    expect(simulated.holders('a')).toEqual(Array(5).fill(undefined));
  });

  test('a connection that is lost in the turn of the request is a missing vote', async () => {
    const simulated = await SimulatedQuorum.voting();
    const ballot = simulated.quorum.acquire('a', freshNonce(), 1_000);
    for (const node of simulated.nodes) node.disconnect();
    expect(await ballot).toEqual({ kind: 'unavailable' });
    expect(simulated.votes.at(-1)).toMatchObject({ vote: 'missing', why: 'connecting' });
    await simulated.quorum.close();
  });

  test('a failed extension releases nothing', async () => {
    const simulated = await SimulatedQuorum.voting();
    const ballot = await simulated.quorum.acquire('a', freshNonce(), 1_000);
    const nonce = ballot.kind === 'granted' ? ballot.nonce : '';
    for (const at of [0, 1]) simulated.node(at).error = new Error('READONLY');
    simulated.node(2).locks.set('a', { nonce: 'other', untilMs: Infinity });
    expect(await simulated.quorum.extend('a', nonce, 1_000)).toEqual({ kind: 'undecided' });
    expect(simulated.holders('a')).toEqual([nonce, nonce, 'other', nonce, nonce]);
    await simulated.quorum.close();
  });

  test.each([
    [2, 2, 'undecided'],
    [2, 1, 'undecided'],
    [1, 2, 'undecided'],
    [2, 0, 'unavailable'],
    [0, 2, 'unavailable'],
    [2, 3, 'held'],
    [0, 3, 'held'],
    [3, 2, 'granted'],
    [3, 0, 'granted'],
  ])('%i for and %i held of five: %s', async (free, held, kind) => {
    const simulated = await SimulatedQuorum.voting();
    for (const [at, node] of simulated.nodes.entries()) {
      if (at >= free && at < free + held) node.locks.set('a', { nonce: 'other', untilMs: Infinity });
      if (at >= free + held) node.disconnect();
    }
    expect((await simulated.quorum.acquire('a', freshNonce(), 1_000)).kind).toBe(kind);
    if (kind !== 'granted') {
      const own = simulated.holders('a').filter((holder) => holder !== undefined && holder !== 'other');
      expect(own).toEqual([]);
    }
    await simulated.quorum.close();
  });

  test('is ready when a majority votes, when every node has answered, or when the time is up', async () => {
    const voting = await SimulatedQuorum.voting();
    await voting.quorum.ready(1_000);

    const evicting = new SimulatedQuorum();
    for (const node of evicting.nodes) node.evictionPolicy = 'allkeys-lru';
    evicting.quorum.start();
    await evicting.quorum.ready(1_000);
    expect(evicting.states).toEqual(Array(5).fill('evicting'));

    const absent = new SimulatedQuorum();
    let ready = false;
    const waited = absent.quorum.ready(1_000).then(() => {
      ready = true;
    });
    await absent.pass(990);
    expect(ready).toBe(false);
    await absent.pass(10);
    await waited;
    for (const { quorum } of [voting, evicting, absent]) await quorum.close();
  });

  test('a close settles open requests and callers that wait for readiness', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const node of simulated.nodes) node.hang();
    const ballot = simulated.quorum.acquire('a', freshNonce(), 1_000);
    await simulated.quorum.close();
    expect(await ballot).toEqual({ kind: 'unavailable' });
    const ready = simulated.quorum.ready(60_000);
    await simulated.quorum.close();
    await ready;
  });

  test('leaves no timer behind', async () => {
    const simulated = await SimulatedQuorum.voting();
    await simulated.quorum.acquire('a', freshNonce(), 1_000);
    for (const node of simulated.nodes) node.hang();
    const ballot = simulated.quorum.acquire('a', freshNonce(), 1_000);
    await simulated.pass(TIMEOUT_MS);
    await ballot;
    await simulated.quorum.close();
    await simulated.settle();
    // Work without a waiter, such as the release at a silent node, ends with its timeout.
    await simulated.pass(TIMEOUT_MS);
    expect(simulated.clock.timers).toBe(0);
  });
});
