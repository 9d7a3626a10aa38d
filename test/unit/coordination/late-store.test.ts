import { describe, expect, it } from 'vitest';
import { Call } from '../../../src/coordination/words/call.js';
import type { Token } from '../../../src/coordination/words/token.js';
import {
  busyOf,
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../support/coordination-trial.js';

// A slow store is not a dead one: while its reply is owed, no lease is granted, none is lost and nothing is rebuilt
// twice.

const { silenceMs: SILENCE_MS } = new CoordinationTrial().limits;

describe('while the store is late', () => {
  it('callers wait without a lease, and one of them gets it afterwards', async () => {
    const trial = new CoordinationTrial();
    trial.store.hang();
    const callers = [await trial.ask(), await trial.ask()];
    await trial.pass(5_000, 50);
    expect(callers.every(isWaiting)).toBe(true);
    expect(trial.quorum.countOf('acquire')).toBe(0);
    trial.store.resume();
    await trial.settle();
    const [first, second] = callers as [(typeof callers)[0], (typeof callers)[0]];
    expect(first.answer?.degraded).toBe('none');
    const { token } = leaseOf(first);
    expect(isWaiting(second)).toBe(true);
    expect((await trial.publish(token)).outcome).toBe('stored');
    expect(textIn(hitOf(second))).toBe('a value');
    await trial.expectRest();
  });

  it('nothing is sent a second time', async () => {
    const trial = new CoordinationTrial();
    trial.store.hang();
    await trial.ask();
    await trial.pass(3_000, 50);
    expect(trial.store.countOf('read')).toBe(1);
    trial.store.resume();
    await trial.settle();
  });

  it('a caller that does not wait gets Busy (undecided) within a second', async () => {
    const trial = new CoordinationTrial();
    trial.store.hang();
    const asked = await trial.ask({ waitMs: 0 });
    await trial.pass(1_000, 50);
    expect(busyOf(asked).reason).toBe('undecided');
    expect(asked.answer?.degraded).toBe('none');
  });

  it('callers that accept a stale value get the one in the near cache, and so do later callers', async () => {
    const trial = new CoordinationTrial();
    trial.nearCacheBytes = 100_000;
    const here = trial.replica();
    const ask = (request = {}) => trial.ask({ waitMs: 20_000, ...request }, new Call(), here);
    const stored = { ttlMs: 1_000, staleMs: 60_000 };
    await trial.publish((await trial.lease({}, here)).token, 'old', stored, here);
    hitOf(await ask());
    await trial.pass(1_500, 100);
    trial.store.hang();
    const patient = await ask();
    const strict = await ask({ stale: 'forbid' });
    expect(isWaiting(patient)).toBe(true);
    await trial.pass(300);
    expect([textIn(hitOf(patient)), hitOf(patient).fresh]).toEqual(['old', false]);
    const later = await ask();
    expect([textIn(hitOf(later)), hitOf(later).freshForMs]).toEqual(['old', 0]);
    const readers = [await ask({ read: 'store' }), await ask({ intent: 'refresh' }), strict];
    await trial.pass(1_000, 100);
    expect(readers.every(isWaiting)).toBe(true);
    // A value that has changed, as far as this replica knows, is not served.
    trial.wakes.publish({ id: trial.key.id, kind: 'invalidated', fence: hitOf(later).fence + 1 });
    const afterwards = await ask();
    await trial.pass(1_000, 100);
    expect(isWaiting(afterwards)).toBe(true);
    trial.store.resume();
    await trial.settle();
  });

  it('the lateness is reported once, and so is its end', async () => {
    const trial = new CoordinationTrial();
    trial.store.hang();
    await trial.ask();
    await trial.pass(1_000, 100);
    trial.store.resume();
    await trial.settle();
    expect(trial.told('storeLate')).toEqual([
      [true, 300],
      [false, 1_000],
    ]);
    expect(trial.told('degraded')).toEqual([['none', []]]);
  });

  it('an invalidation waits for the store', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token);
    trial.store.hang();
    const invalidated = trial.invalidate();
    await trial.pass(1_500, 100);
    trial.store.resume();
    expect(await invalidated).toMatchObject({ keysInvalidated: 1 });
  });

  it('a learned lease lasts four times the longest lateness of the last minute', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease()).token, 'v', { ttlMs: 1 });
    await trial.pass(10);
    const lengthOf = (token: Token) => token.leaseMs;
    const before = await trial.lease();
    expect(lengthOf(before.token)).toBe(3_000);
    await trial.release(before.token);
    trial.store.hang();
    const asked = await trial.ask();
    await trial.pass(1_300, 50);
    trial.store.resume();
    await trial.settle();
    expect(lengthOf(leaseOf(asked).token)).toBe(5_200);
  });
});

describe('an arm at a late store', () => {
  it('keeps its lease, which is extended and not thrown away', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('arm');
    const asked = trial.send({ leaseMs: 1_000 });
    await gate.reached;
    await trial.pass(1_500);
    gate.open();
    await trial.settle();
    expect(leaseOf(asked).expiresInMs).toBe(988);
    expect(asked.answer?.degraded).toBe('none');
    expect(trial.store.countOf('arm')).toBe(1);
    expect((await trial.publish(leaseOf(asked).token)).outcome).toBe('stored');
    await trial.expectRest();
  });
});

describe('a lease with hardly any time left', () => {
  it('is not granted: its holder would lose it during the rebuild', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdAfter('arm');
    const asked = await trial.ask({ leaseMs: 1_000 });
    // Its lock is not kept, and it cannot be extended.
    trial.quorum.undecided = 3;
    await trial.pass(800);
    gate.open();
    await trial.settle();
    expect(isWaiting(asked)).toBe(true);
    await trial.pass(100);
    expect(leaseOf(asked).expiresInMs).toBeGreaterThan(900);
    await trial.expectRest();
  });
});

describe('a publish to a late store', () => {
  it('is stored when the reply comes, and keeps its locks until then', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const { token, fence } = await trial.lease({ leaseMs: 1_000 });
    trial.store.hang();
    const published = trial.publish(token);
    await trial.pass(1_900, 50);
    expect((await trial.quorum.acquire(trial.key.id, 'another', 1_000)).kind).toBe('held');
    trial.store.resume();
    expect(await published).toMatchObject({ outcome: expect.stringMatching(/^stored/), fence });
    expect(trial.store.countOf('publish')).toBe(1);
    expect(textIn(hitOf(await trial.ask({}, new Call(), there)))).toBe('a value');
    await trial.expectRest();
  });

  it('is answered before its deadline, and still takes effect when the store replies', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const waiter = await trial.ask();
    trial.store.hang();
    let answer: unknown;
    const request = { key: trial.key, token, ttlMs: 60_000, tags: [] };
    void trial.coordinator
      .publish({ ...request, payload: { kind: 'absent' } }, new Call('', 1_000))
      .then((said) => {
        answer = said;
      });
    await trial.pass(940, 20);
    expect(answer).toBeUndefined();
    await trial.pass(20);
    expect(answer).toEqual({ outcome: 'not_stored', fence: 0, maybeStored: true });
    expect(isWaiting(waiter)).toBe(true);
    trial.store.resume();
    await trial.settle();
    expect(textIn(hitOf(waiter))).toBe('absent');
    await trial.expectRest();
  });
});

describe('an extension at a late store', () => {
  it('ends before the store alone could grant the key again, and is answered in time', async () => {
    const trial = new CoordinationTrial();
    const { token, expiresInMs } = await trial.lease({ leaseMs: 10_000 });
    trial.store.hang();
    await trial.pass(4_000, 100);
    let said: { outcome: string; expiresInMs: number } | undefined;
    void trial.extend(token).then((answer) => {
      said = answer;
    });
    await trial.pass(3_000, 100);
    expect(said?.outcome).toBe('extended');
    // The lock nodes alone would allow nearly 7 s.
    const latestMs = expiresInMs - 7_000 + SILENCE_MS;
    expect(said?.expiresInMs).toBeLessThanOrEqual(latestMs);
    expect(said?.expiresInMs).toBeGreaterThan(latestMs - 200);
    trial.store.resume();
    await trial.settle();
    expect(await trial.extend(token)).toEqual({ outcome: 'extended', expiresInMs: 9_898 });
  });

  it('never overlaps with a lease that the store alone grants', async () => {
    const trial = new CoordinationTrial();
    const there = trial.replica();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    trial.store.hang();
    await trial.pass(300);
    let said: { expiresInMs: number } | undefined;
    void trial.extend(token).then((answer) => {
      said = answer;
    });
    await trial.pass(400);
    const endsAtMs = trial.clock.nowMs() + (said?.expiresInMs ?? Number.POSITIVE_INFINITY);
    // The reply is lost, and the other replica has lost the lock nodes.
    trial.store.losesRepliesTo.add('extend');
    trial.store.holdBefore('extend');
    trial.store.resume();
    trial.quorum.lost = true;
    const asked = await trial.ask({}, new Call(), there);
    while (isWaiting(asked)) await trial.pass(50);
    expect(trial.clock.nowMs()).toBeGreaterThanOrEqual(endsAtMs);
    expect(asked.answer?.degraded).toBe('quorum_lost');
  });
});

describe('a missing reply', () => {
  it('from a store that answers other requests leads to another read, and to no lease', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    trial.store.missing = 'late';
    const asked = await trial.ask();
    await trial.pass(2_000, 20);
    expect(isWaiting(asked)).toBe(true);
    expect(trial.quorum.countOf('acquire')).toBe(0);
    expect(trial.store.countOf('read')).toBeGreaterThan(3);
    trial.store.down = false;
    await trial.pass(300, 20);
    expect(leaseOf(asked).fence).toBeGreaterThan(0);
    expect(trial.told('degraded')).toEqual([['none', []]]);
  });

  it('from a silent store leads to leases by the quorum', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    trial.store.missing = 'silent';
    const asked = await trial.ask();
    expect([leaseOf(asked).fence, asked.answer?.degraded]).toEqual([0, 'store_lost']);
  });

  it('from both authorities lets this replica decide alone only when both are gone', async () => {
    const trial = new CoordinationTrial();
    trial.store.down = true;
    trial.store.missing = 'silent';
    trial.quorum.lost = true;
    const asked = await trial.ask();
    await trial.pass(1_000, 50);
    expect(isWaiting(asked)).toBe(true);
    trial.store.missing = 'gone';
    trial.quorum.late = true;
    await trial.pass(1_000, 50);
    expect(isWaiting(asked)).toBe(true);
    expect(trial.told('degraded').at(-1)).toEqual(['store_lost', []]);
    trial.quorum.late = false;
    await trial.pass(1_000, 50);
    expect([leaseOf(asked).fence, asked.answer?.degraded]).toEqual([0, 'local']);
  });
});
