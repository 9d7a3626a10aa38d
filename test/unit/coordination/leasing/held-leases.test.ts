import { describe, expect, it } from 'vitest';
import { type HeldLease, HeldLeases } from '../../../../src/coordination/leasing/held-leases.js';
import { NO_OBSERVER } from '../../../../src/coordination/ports/observer.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { ManualClock } from '../../../support/manual-clock.js';

function trial(atEnd?: (lease: HeldLease) => void) {
  const clock = new ManualClock();
  const ended: unknown[][] = [];
  const observer = { ...NO_OBSERVER, leaseEnded: (...told: unknown[]) => ended.push(told) };
  const held = new HeldLeases({ clock, observer }, atEnd);
  const add = (nonce: string, over: Partial<HeldLease> = {}) =>
    held.add({
      key: keyOf('space', 'a key'),
      nonce,
      kind: 'armed',
      fence: 7,
      sinceMs: clock.nowMs(),
      leaseMs: 1_000,
      holder: 'me',
      traceparent: '',
      requestKey: '',
      reason: 'miss',
      untilMs: clock.nowMs() + 1_000,
      givenAt: 0,
      owner: 1,
      ...over,
    });
  return { clock, held, ended, add, id: keyOf('space', 'a key').id };
}

describe('held leases', () => {
  it('report how long a lease was held and how it ended, once', () => {
    const { clock, held, ended, add } = trial();
    add('n');
    clock.advance(250);
    held.end('n', 'failed');
    held.end('n', 'released');
    expect(ended).toEqual([['space', 'failed', 250, '']]);
    expect(held.count).toBe(0);
  });

  it('do not report the end of a lease that was removed', () => {
    const { held, ended, add } = trial();
    add('n');
    expect(held.remove('n')?.lease.nonce).toBe('n');
    held.end('n', 'published');
    expect(ended).toEqual([]);
  });

  it('stop counting a lease when its time is up, and report that it expired then', () => {
    const { clock, held, ended, add } = trial();
    add('n');
    clock.advance(999);
    expect(held.count).toBe(1);
    clock.advance(2);
    expect(held.count).toBe(0);
    expect(ended).toEqual([['space', 'expired', 1_000, '']]);
  });

  it('learn from the store that a lease ended on another replica, and ignore the end of an older one', () => {
    const { held, ended, add, id } = trial();
    add('n', { fence: 7 });
    held.endedAt(id, 6, 'released');
    expect(held.count).toBe(1);
    held.endedAt(id, 7, 'published');
    expect(held.count).toBe(0);
    expect(ended).toEqual([['space', 'published', 0, '']]);
  });

  it('keep a lease that the store does not know, whatever a wake says', () => {
    const { held, add, id } = trial();
    add('n', { kind: 'local', fence: 0 });
    held.endedAt(id, 9, 'published');
    expect(held.count).toBe(1);
  });

  it('return the running lease of a key in the form of a record', () => {
    const { clock, held, add, id } = trial();
    expect(held.running(id)).toBeUndefined();
    add('n', { owner: 3 });
    clock.advance(400);
    expect(held.running(id)).toMatchObject({ nonce: 'n', fence: 7, expiresInMs: 600, ageMs: 400, owner: 3 });
    clock.advance(600);
    expect(held.running(id)).toBeUndefined();
  });

  it('keep the later lease of a key when the earlier one ends after it was granted', () => {
    const { held, add, id } = trial();
    add('earlier');
    add('later', { fence: 8 });
    held.end('earlier', 'released');
    expect(held.running(id)?.nonce).toBe('later');
  });

  it('ask how a lease ended when its time is up, and not before, even if it was extended', () => {
    const asked: string[] = [];
    const { clock, held, add } = trial(({ nonce }) => asked.push(nonce));
    add('n');
    add('m', { key: keyOf('space', 'other') });
    const lease = held.get('n');
    if (lease !== undefined) lease.untilMs += 1_000;
    clock.advance(1_010);
    expect(asked).toEqual(['m']);
    clock.advance(1_000);
    expect(asked).toEqual(['m', 'n']);
    held.askAgainIn('n', 500);
    clock.advance(510);
    expect(asked).toEqual(['m', 'n', 'n']);
    held.lastsFor('n', 700);
    expect(held.count).toBe(1);
    clock.advance(710);
    expect(asked).toEqual(['m', 'n', 'n', 'n']);
  });

  it('leave no timer when they have ended', () => {
    const { clock, held, add } = trial();
    add('n');
    add('m', { key: keyOf('space', 'other'), untilMs: clock.nowMs() + 50 });
    held.end('n', 'released');
    held.remove('m');
    expect(clock.timers).toBe(0);
  });

  it('count as expired, not as published, when the store reports a later lease of the key', () => {
    const { held, ended, add, id } = trial();
    add('n', { fence: 7 });
    held.endedAt(id, 9, 'published');
    add('voided', { fence: 11 });
    held.endedAt(id, 12, 'invalidated');
    expect(ended.map(([, end]) => end)).toEqual(['expired', 'invalidated']);
  });

  it('feed waiters while their time runs, unless the key has changed or another lease of it was granted', () => {
    const { clock, held, add, id } = trial();
    expect(held.feeds('n')).toBe(false);
    add('n', { kind: 'quorum', fence: 0 });
    expect(held.feeds('n')).toBe(true);
    held.keyChanged(id);
    expect(held.feeds('n')).toBe(false);
    add('second', { kind: 'quorum', fence: 0 });
    add('third', { kind: 'local', fence: 0 });
    expect([held.feeds('second'), held.feeds('third')]).toEqual([false, true]);
    clock.advance(1_000);
    expect(held.feeds('third')).toBe(false);
  });
});

describe('the shown leases', () => {
  const keysOf = ({ leases }: ReturnType<HeldLeases['shown']>) => leases.map(({ key }) => key);

  it('contain no nonce and no request key', () => {
    const { clock, held, add } = trial();
    add('n', { requestKey: 'secret', traceparent: 'trace' });
    clock.advance(300);
    expect(held.shown(10, () => 5)).toEqual({
      leases: [
        {
          ...{ namespace: 'space', key: 'a key', holder: 'me', reason: 'miss', kind: 'armed' },
          ...{ ageMs: 300, leftMs: 700, leaseMs: 1_000, waiters: 5, traceparent: 'trace' },
        },
      ],
      ...{ count: 1, waiters: 5 },
    });
  });

  it('begin with the most waiters, then the longest held, and are at most `max`', () => {
    const { clock, held, add } = trial();
    const waiters = new Map<string, number>();
    for (const [name, count] of Object.entries({ old: 0, busy: 9, older: 2, younger: 2, young: 0 })) {
      add(name, { key: keyOf('space', name) });
      waiters.set(keyOf('space', name).id, count);
      clock.advance(10);
    }
    const waitersOf = (id: string) => waiters.get(id) ?? 0;
    expect(keysOf(held.shown(9, waitersOf))).toEqual(['busy', 'older', 'younger', 'old', 'young']);
    for (const max of [0, 1, 2, 3, 4, 5]) {
      const shown = held.shown(max, waitersOf);
      expect(keysOf(shown)).toEqual(['busy', 'older', 'younger', 'old', 'young'].slice(0, max));
      expect(shown).toMatchObject({ count: 5, waiters: 13 });
    }
  });

  it('leave out a lease whose time is up', () => {
    const { clock, held, ended, add } = trial();
    add('n');
    clock.advance(1_001);
    expect(held.shown(10, () => 0)).toEqual({ leases: [], count: 0, waiters: 0 });
    expect(ended).toEqual([['space', 'expired', 1_000, '']]);
  });
});
