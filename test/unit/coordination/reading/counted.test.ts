import { describe, expect, it } from 'vitest';
import type { Stamp } from '../../../../src/coordination/ports/namespace-store.js';
import { counted, withBackOff } from '../../../../src/coordination/reading/counted.js';
import type { StoredValue } from '../../../../src/coordination/words/record.js';
import { decodeTagClock, encodeTagClock } from '../../../../src/coordination/words/tag-clock.js';

const value: StoredValue = {
  payload: { kind: 'absent' },
  ...{ freshForMs: 1_000, servableForMs: 3_000, staleMs: 2_000, ageMs: 0, fence: 5 },
  ...{ clock: 'id.7', tags: ['t'] },
};
const stamp = (over: Partial<Stamp> = {}): Stamp => ({ deletedAt: 0, marks: [], ...over });

describe('a tag clock', () => {
  it('is decoded as it was encoded, whatever its id', () => {
    expect(decodeTagClock(encodeTagClock({ id: 'a.b', at: 12 }))).toEqual({ id: 'a.b', at: 12 });
  });
});

describe('a value', () => {
  it('counts unchanged while nothing was invalidated', () => {
    expect(counted(value, 'id.7', [])).toBe(value);
  });

  it('counts if only something else was invalidated since', () => {
    expect(counted(value, 'id.9', [stamp(), stamp({ deletedAt: 7, marks: [{ at: 7, agoMs: 0 }] })])).toEqual(
      value,
    );
  });

  it('does not count once one of its tags was deleted after its lease was granted', () => {
    expect(counted(value, 'id.9', [stamp(), stamp({ deletedAt: 8 })])).toBeUndefined();
    expect(counted(value, 'id.9', [stamp({ deletedAt: 8 }), stamp()])).toBeUndefined();
  });

  it('does not count under another clock: its own was lost with all stamps', () => {
    expect(counted(value, 'other.1', [stamp()])).toBeUndefined();
    expect(counted({ ...value, clock: '' }, 'id.1', [stamp()])).toBeUndefined();
    expect(counted(value, '', [])).toBeUndefined();
    expect(counted({ ...value, clock: '' }, '', [])).toBeUndefined();
  });

  it('is stale from its mark on, for the rest of its stale_ms', () => {
    const marked = counted(value, 'id.9', [stamp(), stamp({ marks: [{ at: 8, agoMs: 500 }] })]);
    expect(marked).toMatchObject({ freshForMs: 0, servableForMs: 1_500 });
    expect(counted(value, 'id.9', [stamp({ marks: [{ at: 8, agoMs: 2_000 }] })])).toBeUndefined();
  });

  it('is not served longer when the mark is repeated: the first mark after its lease counts', () => {
    const marks = [
      { at: 6, agoMs: 9_000 },
      { at: 8, agoMs: 500 },
      { at: 9, agoMs: 0 },
    ];
    expect(counted(value, 'id.9', [stamp({ marks })])).toMatchObject({ freshForMs: 0, servableForMs: 1_500 });
  });

  it('that was already stale is not served longer by a mark', () => {
    const stale = { ...value, freshForMs: 0, servableForMs: 300 };
    expect(counted(stale, 'id.9', [stamp({ marks: [{ at: 8, agoMs: 500 }] })])).toMatchObject({
      servableForMs: 300,
    });
  });

  it('that was deleted is not served because of a later mark', () => {
    expect(counted(value, 'id.9', [stamp({ deletedAt: 8, marks: [{ at: 9, agoMs: 0 }] })])).toBeUndefined();
  });
});

describe('a back-off', () => {
  const failure = { message: 'down', fence: 5, retryAfterMs: 900, count: 3, triedAgoMs: 100, clock: 'id.7' };
  const over = { ...failure, retryAfterMs: 0 };

  it('runs while the whole namespace is not invalidated', () => {
    expect(withBackOff(failure, 'id.9', [stamp({ deletedAt: 7 }), stamp({ deletedAt: 9 })])).toBe(failure);
  });

  it('ends when the whole namespace is invalidated, and keeps the number of failures', () => {
    expect(withBackOff(failure, 'id.9', [stamp({ deletedAt: 8 })])).toEqual(over);
    const marks = [
      { at: 6, agoMs: 9_000 },
      { at: 8, agoMs: 500 },
    ];
    expect(withBackOff(failure, 'id.9', [stamp({ marks })])).toEqual(over);
  });

  it('ends if the clock was lost, because invalidations are unknown then', () => {
    expect(withBackOff(failure, 'other.1', [stamp()])).toEqual(over);
    expect(withBackOff(failure, '', [])).toEqual(over);
  });

  it('without a clock, as the previous release writes it, runs to its end', () => {
    const older = { ...failure, clock: '' };
    expect(withBackOff(older, 'id.9', [stamp({ deletedAt: 8 })])).toBe(older);
  });
});
