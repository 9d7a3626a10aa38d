import { beforeEach, describe, expect, it } from 'vitest';
import type { ArmReply, ArmRequest, StorePublish } from '../../src/coordination/ports/value-store.js';
import { keyOf } from '../../src/coordination/words/key.js';
import type { Hit, Lease } from '../../src/coordination/words/outcome.js';
import type { MemoryRecord } from '../../src/memory/memory-record.js';
import { Judge } from './judge.js';
import type { Change } from './old-values.js';

// A judge that never finds a fault is useless, so each rule is tested with a history that breaks it.

let nowMs: number;
let judge: Judge;
beforeEach(() => {
  nowMs = 1_000;
  judge = new Judge(
    () => nowMs,
    () => nowMs,
  );
});

const broken = () => judge.violations.map(({ invariant }) => invariant);

function arm(
  id: string,
  nonce: string,
  fence: number,
  request: Partial<ArmRequest> = {},
  before?: MemoryRecord,
) {
  const asked = { nonce, reason: 'miss', quorumLost: false, ...request } as ArmRequest;
  judge.armed(id, before, asked, { armed: true, record: { fence, valueFence: 0 } } satisfies ArmReply);
}
const publish = (id: string, nonce: string, outcome = 'stored') =>
  judge.published(id, { nonce } as StorePublish, outcome);
const answer = (id: string, nonce: string, expiresInMs = 500, degraded: 'none' | 'store_lost' = 'none') =>
  judge.leaseAnswered(id, nonce, { expiresInMs } as Lease, degraded);
const read = (id: string, nonce: string, startedAt: number, freshForMs = 9, valueId = id) =>
  judge.hitAnswered(id, { fresh: freshForMs > 0, freshForMs } as Hit, valueId, nonce, true, startedAt);

describe('the judge', () => {
  it('accepts a history without faults', () => {
    arm('k', 'a', 1);
    answer('k', 'a');
    publish('k', 'a');
    read('k', 'a', judge.now());
    const sentAt = judge.now();
    judge.invalidated('k', 'delete');
    judge.invalidationReturned('k', sentAt);
    arm('k', 'b', 2);
    answer('k', 'b');
    judge.released('k', 'b', 'released');
    expect(broken()).toEqual([]);
  });

  it('INV-1: rejects a fence that does not grow', () => {
    arm('k', 'a', 2);
    arm('k', 'b', 2);
    arm('other', 'c', 1);
    expect(broken()).toEqual(['INV-1']);
  });

  it('INV-2: rejects a publish that is stored twice, or for a token that is not armed', () => {
    arm('k', 'a', 1);
    arm('k', 'b', 2);
    publish('k', 'a');
    expect(broken()).toEqual(['INV-2']);
    publish('k', 'b');
    publish('k', 'b');
    expect(broken()).toEqual(['INV-2', 'INV-2']);
  });

  it('INV-3: rejects an older value for READ_STORE once an invalidation has returned', () => {
    arm('k', 'a', 1);
    publish('k', 'a');
    const early = judge.now();
    const sentAt = judge.now();
    judge.invalidated('k', 'delete');
    read('k', 'a', judge.now());
    expect(broken(), 'its caller has no answer yet').toEqual([]);
    judge.invalidationReturned('k', sentAt);
    read('k', 'a', early);
    expect(broken(), 'the read began before').toEqual([]);
    read('k', 'a', judge.now());
    expect(broken()).toEqual(['INV-3']);
  });

  it('INV-3: rejects a marked value as fresh, but not as stale', () => {
    arm('k', 'a', 1);
    publish('k', 'a');
    const sentAt = judge.now();
    judge.invalidated('k', 'mark_stale');
    judge.invalidationReturned('k', sentAt);
    read('k', 'a', judge.now(), 0);
    expect(broken()).toEqual([]);
    read('k', 'a', judge.now(), 1);
    expect(broken()).toEqual(['INV-3']);
  });

  it('INV-3: rejects a value for READ_STORE that was never stored', () => {
    arm('k', 'a', 1);
    read('k', 'a', judge.now());
    expect(broken()).toEqual(['INV-3']);
  });

  it('INV-4: rejects a lease with no time left, and two leases at once', () => {
    arm('k', 'a', 1);
    answer('k', 'a', 0);
    expect(broken()).toEqual(['INV-4']);
    answer('k', 'a', 500);
    nowMs += 499;
    arm('k', 'b', 2);
    answer('k', 'b');
    expect(broken()).toEqual(['INV-4', 'INV-4']);
  });

  it('INV-4: accepts a second lease after the first has ended, was given up, or was last extended without the store', () => {
    arm('k', 'a', 1);
    answer('k', 'a', 500);
    nowMs += 500;
    arm('k', 'b', 2);
    answer('k', 'b');
    judge.givenUp('b');
    arm('k', 'c', 3);
    answer('k', 'c', 100);
    judge.leaseExtended('c', 5_000, false);
    arm('k', 'd', 4);
    answer('k', 'd');
    expect(broken()).toEqual([]);
    judge.leaseExtended('d', 5_000, true);
    nowMs += 1_000;
    arm('k', 'e', 5);
    answer('k', 'e');
    expect(broken()).toEqual(['INV-4']);
  });

  it('INV-6: rejects a release or an extension of another lease', () => {
    arm('k', 'a', 1);
    judge.released('k', 'b', 'not_held');
    const extension = {
      nonce: 'b',
      expiresInMs: 1,
      holdMs: 86_400_000,
      quorumLost: false,
      group: 'g',
      keepMs: 1,
    };
    judge.extended('k', extension, { extended: false });
    expect(broken()).toEqual([]);
    judge.extended('k', extension, { extended: true, expiresInMs: 1 });
    judge.released('k', 'b', 'released');
    expect(broken()).toEqual(['INV-6', 'INV-6']);
  });

  it('INV-7: rejects a lease over a fresh value, except for a refresh', () => {
    const fresh = { value: { freshUntilMs: nowMs + 100 } } as MemoryRecord;
    arm('k', 'a', 1, { reason: 'refresh' }, fresh);
    expect(broken()).toEqual([]);
    arm('k', 'b', 2, { reason: 'expired' }, fresh);
    expect(broken()).toEqual(['INV-7']);
  });

  it('INV-7: accepts it if a jump of the clock of the store may have ended the tag clock', () => {
    arm('k', 'a', 1);
    publish('k', 'a');
    const fresh = { value: { freshUntilMs: nowMs + 100 }, done: 'a' } as MemoryRecord;
    judge.storeJumped = { at: judge.now(), ms: nowMs };
    arm('k', 'b', 2, { reason: 'invalidated' }, fresh);
    expect(broken()).toEqual([]);
    nowMs += 5_000;
    publish('k', 'b');
    const later = { value: { freshUntilMs: nowMs + 100 }, done: 'b' } as MemoryRecord;
    arm('k', 'c', 3, { reason: 'invalidated' }, later);
    expect(broken()).toEqual([]);
    publish('k', 'c');
    arm('k', 'd', 4, { reason: 'invalidated' }, { ...later, done: 'c' });
    expect(broken()).toEqual(['INV-7']);
  });

  it('INV-8: rejects the value of another key', () => {
    arm('k', 'a', 1);
    publish('k', 'a');
    read('k', 'a', judge.now(), 9, 'other');
    expect(broken()).toEqual(['INV-8']);
  });

  it('ignores what a store forgot', () => {
    arm('k', 'a', 1);
    answer('k', 'a');
    judge.storeLost();
    arm('k', 'b', 2);
    answer('k', 'b');
    expect(broken()).toEqual([]);
  });
});

describe('INV-15, never an old value', () => {
  const [here, there] = [{}, {}];
  const hit = { fence: 1, freshForMs: 9 } as Hit;
  const show = (
    place: object,
    nonce: string,
    cameAt: number,
    { fence, freshForMs }: { fence: number; freshForMs: number } = hit,
    degraded: 'none' | 'store_lost' = 'none',
  ) =>
    judge.shown(
      place,
      { id: ID, nonce, fresh: freshForMs > 0, cameAt },
      { fence, freshForMs } as Hit,
      degraded,
    );
  const ID = keyOf('red', 'k').id;
  const stored = (nonce: string, tags: string[] = []) => {
    arm(ID, nonce, ++fence);
    return judge.published(ID, { nonce, tags } as unknown as StorePublish, 'stored') as Change;
  };
  const voided = (mode: 'delete' | 'mark_stale' = 'delete') =>
    judge.stepped('invalidate', ID, undefined, undefined, { mode } as never, {} as never) as Change;
  let fence = 0;

  it('allows an old value if the change has not arrived, or the call came before it', () => {
    stored('a');
    const change = voided();
    const before = judge.now();
    show(here, 'a', before);
    judge.oldValues.arrived(here, change);
    show(here, 'a', before);
    show(there, 'a', judge.now());
    stored('b');
    show(here, 'b', judge.now());
    expect(broken()).toEqual([]);
  });

  it('is broken by a value from before an invalidation that has arrived', () => {
    stored('a');
    judge.oldValues.arrived(here, voided());
    show(here, 'a', judge.now());
    expect(broken()).toEqual(['INV-15']);
  });

  it('is broken by a marked value only if the answer calls it fresh', () => {
    stored('a');
    judge.oldValues.arrived(here, voided('mark_stale'));
    show(here, 'a', judge.now(), { fence: 1, freshForMs: 0 });
    expect(broken()).toEqual([]);
    show(here, 'a', judge.now());
    expect(broken()).toEqual(['INV-15']);
  });

  it('is broken by a value older than a publish, even as stale', () => {
    stored('a');
    judge.oldValues.arrived(here, stored('b'));
    show(here, 'a', judge.now(), { fence: 1, freshForMs: 0 });
    expect(broken()).toEqual(['INV-15']);
  });

  it.each([
    ['its tag', ['x'], 1],
    ['another tag', ['y'], 0],
    ['everything', [], 1],
  ])('depends on the tags of the value: %s', (_what, tags, count) => {
    stored('a', ['x']);
    const request = { tags, all: tags.length === 0, mode: 'delete' } as const;
    judge.oldValues.arrived(here, judge.stamped('red', request));
    show(here, 'a', judge.now());
    expect(broken()).toHaveLength(count);
  });

  it('counts a lost channel as a change of everything, for values called fresh', () => {
    stored('a');
    voided();
    judge.oldValues.channelDisconnected(here);
    show(here, 'a', judge.now(), { fence: 1, freshForMs: 0 });
    expect(broken()).toEqual([]);
    show(here, 'a', judge.now());
    expect(broken()).toEqual(['INV-15']);
  });

  it('counts a new channel as a change of everything', () => {
    stored('a');
    voided();
    judge.oldValues.channelConfirmed(here);
    show(here, 'a', judge.now(), { fence: 1, freshForMs: 0 });
    expect(broken()).toEqual(['INV-15']);
  });

  it('is broken by an unstored value from before a change, unless its holder got the lease after the change', () => {
    for (const isHeldBefore of [false, true]) {
      const nonce = isHeldBefore ? 'before' : 'after';
      arm(ID, nonce, ++fence);
      if (isHeldBefore) answer(ID, nonce);
      judge.oldValues.arrived(here, voided());
      answer(ID, nonce);
      show(here, nonce, judge.now(), { fence: 0, freshForMs: 0 }, 'store_lost');
      expect(broken()).toEqual(isHeldBefore ? ['INV-15'] : []);
    }
  });

  it('is broken by an unstored value in an answer that is not degraded, or that calls it fresh', () => {
    answer(ID, 'u', 500, 'store_lost');
    show(here, 'u', judge.now(), { fence: 0, freshForMs: 0 }, 'store_lost');
    expect(broken()).toEqual([]);
    show(here, 'u', judge.now(), { fence: 0, freshForMs: 9 });
    expect(broken()).toEqual(['INV-15', 'INV-15']);
  });

  it('is broken by a failure that a newer value ended', () => {
    answer(ID, 'u', 500, 'store_lost');
    const failure = () => ({ id: ID, nonce: 'u', fresh: true, cameAt: judge.now() });
    judge.failureShown(here, failure());
    expect(broken()).toEqual([]);
    judge.oldValues.arrived(here, stored('b'));
    judge.failureShown(here, failure());
    expect(broken()).toEqual(['INV-15']);
  });

  it('is broken by a fresh near value on a replica that reports the store as lost', () => {
    stored('a');
    judge.oldValues.storeHeard(here);
    judge.oldValues.storeLost(here);
    show(here, 'a', judge.now());
    expect(broken()).toEqual([]);
    nowMs += 300;
    judge.oldValues.storeLost(here);
    show(here, 'a', judge.now(), { fence: 1, freshForMs: 0 });
    expect(broken()).toEqual([]);
    show(here, 'a', judge.now());
    expect(broken()).toEqual(['INV-15']);
    judge.oldValues.storeHeard(here);
    show(here, 'a', judge.now());
    expect(broken()).toEqual(['INV-15']);
  });

  it('is broken by a value that stays fresh for longer than its publish said', () => {
    arm(ID, 'a', ++fence);
    judge.published(ID, { nonce: 'a', tags: [], ttlMs: 100 } as unknown as StorePublish, 'stored');
    show(here, 'a', judge.now(), { fence: 1, freshForMs: 100 });
    expect(broken()).toEqual([]);
    nowMs += 50;
    show(here, 'a', judge.now(), { fence: 1, freshForMs: 100 });
    expect(broken()).toEqual(['INV-15']);
  });
});
