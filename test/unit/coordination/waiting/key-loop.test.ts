import { describe, expect, it, vi } from 'vitest';
import { StoreUnavailable } from '../../../../src/coordination/ports/value-store.js';
import { Call } from '../../../../src/coordination/words/call.js';
import {
  type Asked,
  busyOf,
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../../support/coordination-trial.js';

/**
 * A value that stays fresh for 60 ms and then stale for a second, in a namespace where every caller refreshes early.
 */
async function nearItsEnd() {
  const trial = new CoordinationTrial();
  const { token } = await trial.lease();
  trial.clock.advance(100);
  await trial.publish(token, 'old', { ttlMs: 1_000, staleMs: 1_000 });
  trial.clock.advance(940);
  trial.policy = { ...trial.policy, earlyRefreshBeta: 1e9 };
  return trial;
}

/** A fresh value and its refresh, whose lease the store does not hand out again. */
async function refreshing() {
  const trial = new CoordinationTrial();
  await trial.publish((await trial.lease()).token, 'old');
  await trial.lease({ intent: 'refresh', requestId: 'r' });
  trial.store.losesRepliesTo.add('adopt');
  return trial;
}

describe('the value held ready for a caller during an attempt', () => {
  it('ages meanwhile, and is given with the rest of its time', async () => {
    const trial = await nearItsEnd();
    const voting = trial.quorum.holdBefore('acquire');
    const drawn = trial.send({ waitMs: 40 });
    await voting.reached;
    await trial.pass(40, 5);
    expect(hitOf(drawn)).toMatchObject({ fresh: true, freshForMs: 20 });
    voting.open();
  });

  it('may become stale meanwhile: only a caller that accepts stale values gets it then', async () => {
    for (const [stale, kind] of [
      ['allow', 'hit'],
      ['forbid', 'busy'],
    ] as const) {
      const trial = await nearItsEnd();
      const voting = trial.quorum.holdBefore('acquire');
      const drawn = trial.send({ waitMs: 80, stale });
      await voting.reached;
      await trial.pass(80, 5);
      expect(drawn.answer?.outcome).toMatchObject(kind === 'hit' ? { kind, fresh: false } : { kind });
      voting.open();
      await trial.settle();
    }
  });

  it('serves a caller whose rebuild found no slot', async () => {
    const trial = await nearItsEnd();
    trial.policy = { ...trial.policy, maxRebuilds: 1 };
    const holder = leaseOf(await trial.ask({ intent: 'refresh' }));
    trial.clock.advance(100);
    expect(hitOf(await trial.ask())).toMatchObject({ fresh: false });
    await trial.publish(holder.token, 'new');
  });

  it('serves a caller that could not resume its own lease, even between two attempts', async () => {
    const trial = await refreshing();
    const again = await trial.ask({ requestId: 'r', waitMs: 300 });
    const reading = trial.store.holdBefore('read');
    await trial.pass(300);
    await reading.reached;
    expect(textIn(hitOf(again))).toBe('old');
    reading.open();
    await trial.expectRest();
  });

  it('reports store_lost if the store does not have it, even if the store answers again', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const strict = await trial.ask({ waitMs: 400, stale: 'forbid' });
    const waiters = [await trial.ask({ waitMs: 400 }), await trial.ask({ waitMs: 400 })];
    let late = () => {};
    vi.spyOn(trial.store, 'publish').mockImplementation(
      () =>
        new Promise((_, reject) => {
          late = () => reject(new StoreUnavailable('late', { how: 'late' }));
        }),
    );
    const published = trial.publish(token, 'nowhere', { ttlMs: 1, staleMs: 10_000 });
    for (let tries = 0; tries < 2; tries++) {
      await trial.pass(50);
      late();
    }
    expect((await published).outcome).toBe('not_stored');
    expect(trial.told('degraded')).toEqual([['none', []]]);
    expect(isWaiting(strict)).toBe(true);
    for (const waiter of waiters) {
      expect(hitOf(waiter)).toMatchObject({ fresh: false, fence: 0 });
      expect(waiter.answer?.degraded).toBe('store_lost');
    }
  });

  it('serves a caller that could not resume its own lease and does not wait', async () => {
    const trial = await refreshing();
    expect(textIn(hitOf(await trial.ask({ requestId: 'r', waitMs: 0 })))).toBe('old');
    await trial.expectRest();
  });

  it('no longer serves such a caller once a read finds no value', async () => {
    const trial = await refreshing();
    const again = await trial.ask({ requestId: 'r', waitMs: 3_000 });
    const other = trial.replica();
    trial.wakes.silent = true;
    const request = { namespace: 'trial', keys: [trial.key], tags: [], all: false, mode: 'delete' as const };
    await other.invalidate(request, new Call());
    await trial.lease({ leaseMs: 9_000 }, other);
    await trial.pass(3_000);
    busyOf(again);
  });
});

describe('a publish that feeds the loop', () => {
  it('serves all waiters in the order of their arrival, and leaves none behind', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const waiting = [
      await trial.ask(),
      await trial.ask({}, new Call()),
      await trial.ask({ stale: 'forbid' }),
    ];
    await trial.publish(token, 'new');
    for (const caller of waiting) expect(textIn(hitOf(caller))).toBe('new');
    await trial.expectRest();
  });

  it.each([
    { bytes: 4_080, inOneTurn: 256 },
    { bytes: 1_048_576, inOneTurn: 4 },
  ])('serves $inOneTurn callers in one turn if its value has $bytes bytes', async ({ bytes, inOneTurn }) => {
    const trial = new CoordinationTrial();
    trial.limits = { ...trial.limits, waitersPerKeyMax: 1_000, waitersMax: 1_000 };
    const here = trial.replica();
    const { token } = await trial.lease({}, here);
    const waiting: Asked[] = [];
    for (let at = 0; at <= inOneTurn; at += 1) waiting.push(trial.send({}, new Call(), here));
    await trial.settle();
    const leftAtTurns: number[] = [];
    const turn = trial.clock.turn.bind(trial.clock);
    trial.clock.turn = () => {
      leftAtTurns.push(here.waiters);
      return turn();
    };
    await trial.publish(token, 'x'.repeat(bytes), {}, here);
    expect(leftAtTurns[0]).toBe(1);
    expect(waiting.some(isWaiting)).toBe(false);
    await trial.expectRest();
  });
});
