import { describe, expect, it } from 'vitest';
import { OpenCalls } from '../src/open-calls.js';

const calls = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => ({ id: from + at }));

describe('open calls', () => {
  it('keeps each call until it ends, however many came since', () => {
    const open = new OpenCalls<{ readonly id: number }>();
    const waiting = { id: 1 };
    open.add(waiting);
    const cameAndWent = calls(2, 10_000).filter((call) => {
      open.add(call);
      return open.get(call.id) === call && open.delete(call.id);
    });
    expect(cameAndWent.length).toBe(9_999);
    expect(open.get(1)).toBe(waiting);
    expect(open.size).toBe(1);
    expect(open.all()).toEqual([waiting]);
    expect(open.delete(1)).toBe(true);
    expect(open.size).toBe(0);
  });

  it('keeps many calls at once, in order', () => {
    const open = new OpenCalls<{ readonly id: number }>();
    const many = calls(7, 70_006);
    for (const call of many) open.add(call);
    expect(open.size).toBe(many.length);
    expect(open.all()).toEqual(many);
    expect(many.every((call) => open.get(call.id) === call)).toBe(true);
    expect(many.every(({ id }) => open.delete(id))).toBe(true);
    expect(open.all()).toEqual([]);
  });

  it.each([
    ['in the same slot', 300 + 256],
    ['of no slot', -1],
    ['that is no number', Number.NaN],
  ])('does not find a call by an id %s', (_, id) => {
    const open = new OpenCalls<{ readonly id: number }>();
    open.add({ id: 300 });
    expect(open.get(id)).toBeUndefined();
    expect(open.delete(id)).toBe(false);
    expect(open.size).toBe(1);
  });

  it('keeps two calls of the same slot, and ends each once', () => {
    const open = new OpenCalls<{ readonly id: number }>();
    const [early, late] = [{ id: 3 }, { id: 3 + 65_536 * 4 }];
    open.add(early);
    open.add(late);
    expect(open.get(early.id)).toBe(early);
    expect(open.get(late.id)).toBe(late);
    expect(open.delete(late.id)).toBe(true);
    expect(open.delete(late.id)).toBe(false);
    expect(open.get(early.id)).toBe(early);
  });
});
