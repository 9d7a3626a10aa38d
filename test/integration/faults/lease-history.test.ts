import { describe, expect, it } from 'vitest';
import type { Entry, GetEntry, Window } from './history.js';
import { judge } from './lease-history.js';

// Each rule gets a history that breaks it, and a similar one that does not.

const lease = (fence: number, start: number, over: Partial<GetEntry> = {}): GetEntry => ({
  ...{
    e: 'get',
    replica: 0,
    key: 'k',
    start,
    end: start + 2,
    waitMs: 100,
    store: false,
    refresh: false,
    outcome: 'lease',
  },
  ...{ degraded: 'NONE', token: `t${fence}`, fence, expiresInMs: 500, reason: 'MISS' },
  ...over,
});
const hit = (fence: number, start: number, over: Partial<GetEntry> = {}): GetEntry => ({
  ...{
    e: 'get',
    replica: 0,
    key: 'k',
    start,
    end: start + 2,
    waitMs: 100,
    store: true,
    refresh: false,
    outcome: 'hit',
  },
  ...{ value: { key: 'k', fence, token: `t${fence}` }, fresh: true },
  ...over,
});
const publish = (token: string, start: number, ttlMs = 1_000): Entry[] => [
  { e: 'give_up', key: 'k', token, at: start },
  { e: 'publish', key: 'k', token, start, end: start + 2, outcome: 'STORED', ttlMs },
];
const invalidate = (start: number, mode: 'delete' | 'mark_stale' = 'delete'): Entry => ({
  ...{ e: 'invalidate', replica: 0, key: 'k', mode, start, end: start + 2, acknowledged: true },
});
const rules = (entries: Entry[], windows: Window[] = []) =>
  judge(entries, windows).violations.map((violation) => violation.split(' ')[0]);

describe('the history', () => {
  it('has no violations if nothing is wrong', () => {
    const entries = [
      lease(1, 0),
      ...publish('t1', 100),
      hit(1, 110),
      invalidate(200),
      lease(2, 210),
      ...publish('t2', 220),
      hit(2, 230),
    ];
    expect(rules(entries)).toEqual([]);
  });

  it('INV-1: finds a repeated fence, and a lower one later', () => {
    expect(rules([lease(1, 0), ...publish('t1', 10, 1), lease(1, 20, { token: 'other' })])).toContain(
      'INV-1',
    );
    expect(rules([lease(2, 0), ...publish('t2', 10, 1), lease(1, 20)])).toContain('INV-1');
    // The same lease again for a retry, and two concurrent leases whose order is unknown.
    expect(rules([lease(1, 0), lease(1, 20)])).toEqual([]);
    expect(
      rules([lease(2, 0, { key: 'k', end: 9, degraded: 'LOCAL' }), lease(1, 1, { degraded: 'LOCAL' })]),
    ).toEqual([]);
  });

  it('INV-2: finds a token that was stored twice', () => {
    expect(rules([lease(1, 0), ...publish('t1', 10), ...publish('t1', 20)])).toEqual(['INV-2']);
  });

  it('INV-3: finds an old value after an acknowledged invalidation', () => {
    const before = [lease(1, 0), ...publish('t1', 10), invalidate(20)];
    expect(rules([...before, hit(1, 30)])).toEqual(['INV-3']);
    expect(rules([...before, hit(1, 21)])).toEqual([]);
    expect(rules([...before, hit(1, 30, { store: false, replica: 1 })])).toEqual([]);
    const marked = [lease(1, 0), ...publish('t1', 10), invalidate(20, 'mark_stale')];
    expect(rules([...marked, hit(1, 30, { fresh: false })])).toEqual([]);
    expect(rules([...marked, hit(1, 30)])).toEqual(['INV-3']);
  });

  it('INV-15: finds an old value from a near cache: of the same replica at once, of others after a while', () => {
    const before = [lease(1, 0), ...publish('t1', 10, 60_000), invalidate(20)];
    const near = (start: number, over: Partial<GetEntry> = {}) => hit(1, start, { store: false, ...over });
    expect(rules([...before, near(30)])).toEqual(['INV-15']);
    expect(rules([...before, near(21)])).toEqual([]);
    expect(rules([...before, near(30, { fresh: false })])).toEqual(['INV-15']);
    expect(rules([...before, near(2_000, { replica: 1 })])).toEqual([]);
    expect(rules([...before, near(2_600, { replica: 1 })])).toEqual(['INV-15']);
    expect(rules([...before, near(2_600, { replica: 1, fresh: false })])).toEqual([]);
    expect(rules([...before, near(2_600, { replica: 1 })], [{ kind: 'store', from: 15, to: 25 }])).toEqual(
      [],
    );
    const marked = [lease(1, 0), ...publish('t1', 10, 60_000), invalidate(20, 'mark_stale')];
    expect(rules([...marked, near(30)])).toEqual(['INV-15']);
    expect(rules([...marked, near(30, { fresh: false })])).toEqual([]);
    // The value of a later lease, and of one without a fence, because no store armed it.
    expect(rules([...marked, lease(2, 40), ...publish('t2', 50), hit(2, 60, { store: false })])).toEqual([]);
    const unstored = lease(0, 0, { token: 'u', degraded: 'STORE_LOST' });
    const value = { key: 'k', fence: 0, token: 'u' };
    expect(rules([unstored, invalidate(20), near(30, { value })])).toEqual(['INV-15']);
  });

  it('INV-4: finds a lease while another one certainly runs', () => {
    expect(rules([lease(1, 0), lease(2, 400)])).toEqual(['INV-4']);
    expect(rules([lease(1, 0), lease(2, 500)])).toEqual([]);
    expect(rules([lease(1, 0), { e: 'give_up', key: 'k', token: 't1', at: 300 }, lease(2, 400)])).toEqual([]);
    expect(rules([lease(1, 0), invalidate(300), lease(2, 400)])).toEqual([]);
    expect(rules([lease(1, 0, { degraded: 'STORE_LOST' }), lease(2, 400)])).toEqual([]);
  });

  it('INV-4: counts extensions, unless the store was in trouble at the time', () => {
    const extended: Entry = {
      e: 'extend',
      key: 'k',
      token: 't1',
      start: 300,
      end: 302,
      outcome: 'EXTENDED',
      expiresInMs: 500,
    };
    expect(rules([lease(1, 0), extended, lease(2, 600)])).toEqual(['INV-4']);
    expect(rules([lease(1, 0), extended, lease(2, 600)], [{ kind: 'store', from: 301, to: 400 }])).toEqual(
      [],
    );
  });

  it('INV-4: still holds if the store lost the record, unless it alone gave or extended one of the leases', () => {
    const forgotten: Window[] = [{ kind: 'forgotten', key: 'k', from: 100, to: 110 }];
    expect(rules([lease(1, 0), lease(2, 400)], forgotten)).toEqual(['INV-4']);
    expect(rules([lease(1, 0), lease(2, 400, { degraded: 'QUORUM_LOST' })], forgotten)).toEqual([]);
    expect(rules([lease(1, 0, { degraded: 'QUORUM_LOST' }), lease(2, 400)], forgotten)).toEqual([]);
    const elsewhere: Window[] = [{ kind: 'forgotten', key: 'other', from: 100, to: 110 }];
    expect(rules([lease(1, 0), lease(2, 400, { degraded: 'QUORUM_LOST' })], elsewhere)).toEqual(['INV-4']);
    const before: Window[] = [{ kind: 'forgotten', key: 'k', from: -20, to: -10 }];
    expect(rules([lease(1, 0), lease(2, 400, { degraded: 'QUORUM_LOST' })], before)).toEqual(['INV-4']);
    // A client cannot see whether the lock nodes took part in an extension.
    const times = { start: 300, end: 302, expiresInMs: 500 };
    const extended: Entry = { e: 'extend', key: 'k', token: 't1', outcome: 'EXTENDED', ...times };
    expect(rules([lease(1, 0), extended, lease(2, 600)], forgotten)).toEqual([]);
  });

  it('INV-7: allows a lease over a fresh value that the store lost', () => {
    const forgotten: Window[] = [{ kind: 'forgotten', key: 'k', from: 50, to: 60 }];
    expect(rules([lease(1, 0), ...publish('t1', 10), lease(2, 100)], forgotten)).toEqual([]);
    expect(rules([lease(1, 0), ...publish('t1', 70), lease(2, 100)], forgotten)).toEqual(['INV-7']);
  });

  it('INV-7: finds a lease over a fresh value', () => {
    expect(rules([lease(1, 0), ...publish('t1', 10), lease(2, 100)])).toEqual(['INV-7']);
    expect(rules([lease(1, 0), ...publish('t1', 10), lease(2, 100, { refresh: true })])).toEqual([]);
    expect(rules([lease(1, 0), ...publish('t1', 10, 50), lease(2, 100)])).toEqual([]);
    // A call of 400 ms may see the value as 400 ms older than it is. A call of 300 ms sees that it is fresh.
    const slow = (end: number) => [lease(1, 0), ...publish('t1', 10, 1_000), lease(2, 300, { end })];
    expect([rules(slow(700)), rules(slow(600))]).toEqual([[], ['INV-7']]);
    // Another caller may have published a shorter-lived value, or invalidated it, without an answer.
    const published = [lease(1, 0), ...publish('t1', 10), lease(2, 100)];
    expect(rules([...published, { e: 'give_up', key: 'k', token: 't0', at: 5 }])).toEqual([]);
    expect(rules([...published, { ...invalidate(50), acknowledged: false } as Entry])).toEqual([]);
    // By tag, also between the lease and its publish. By key, that publish would have been refused.
    expect(rules([...published, { ...invalidate(4), byTag: true } as Entry])).toEqual([]);
    expect(rules([...published, invalidate(4)])).toEqual(['INV-7']);
    expect(rules([...published, { e: 'give_up', key: 'other', token: 't0', at: 5 }])).toEqual(['INV-7']);
  });

  it('INV-8: finds the value of another key', () => {
    expect(rules([hit(1, 0, { value: { key: 'other', fence: 1, token: 't1' } })])).toEqual(['INV-8']);
  });

  it('INV-9: finds an error that does not mean "undecided"', () => {
    const error = (code: string): GetEntry => ({ ...hit(1, 0), outcome: 'error', code });
    expect(rules([error('INTERNAL')])).toEqual(['INV-9']);
    const undecided = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED'];
    expect(rules(undecided.map(error))).toEqual([]);
  });

  it('counts an invalidation once, although it was also recorded before it was sent', () => {
    const sent = { ...invalidate(20), end: 5_020, acknowledged: false } as Entry;
    const before = [lease(1, 0), ...publish('t1', 10), sent];
    expect(rules([...before, invalidate(20), hit(1, 30)])).toEqual(['INV-3']);
    // It was acknowledged at 22, so it excuses nothing later.
    const after = [lease(2, 30), ...publish('t2', 40), lease(3, 100)];
    expect(rules([...before, invalidate(20), ...after])).toEqual(['INV-7']);
    expect(rules([...before, ...after])).toEqual([]);
  });

  it('INV-9: finds an answer more than a second after its wait, unless a process was stopped', () => {
    const late = lease(1, 0, { end: 1_102, waitMs: 100 });
    expect(rules([late])).toEqual(['INV-9']);
    expect(rules([{ ...late, end: 1_100 }])).toEqual([]);
    // A wait of 0 is allowed another second.
    expect(rules([{ ...late, waitMs: 0, end: 2_001 }])).toEqual(['INV-9']);
    expect(rules([{ ...late, waitMs: 0, end: 2_000 }])).toEqual([]);
    expect(rules([late], [{ kind: 'stopped', from: 500, to: 600 }])).toEqual([]);
    expect(rules([late], [{ kind: 'starved', from: 500, to: 600 }])).toEqual([]);
  });
});
