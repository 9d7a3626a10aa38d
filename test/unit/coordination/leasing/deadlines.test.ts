import { describe, expect, it } from 'vitest';
import { Deadlines } from '../../../../src/coordination/leasing/deadlines.js';
import { ManualClock } from '../../../support/manual-clock.js';

const TICK_MS = 4;

interface Item {
  readonly name: string;
  whenTold?(): void;
}

function trial() {
  const clock = new ManualClock();
  const told: string[] = [];
  const deadlines = new Deadlines<Item>(clock, (item) => {
    told.push(item.name);
    item.whenTold?.();
  });
  return { clock, deadlines, told };
}

describe('deadlines', () => {
  it('fire once, never early, and at most a tick late', () => {
    const { clock, deadlines, told } = trial();
    const delays = [0, 0.5, 99, 100, 103, 104, 1_000.25];
    for (const delayMs of delays) deadlines.set({ name: `${delayMs}` }, delayMs);
    const toldMs = new Map<string, number>();
    for (let ms = 0; ms <= 1_010; ms += 0.25) {
      for (const name of told) if (!toldMs.has(name)) toldMs.set(name, ms);
      clock.advance(0.25);
    }
    expect([...toldMs.keys()]).toEqual(delays.map(String));
    for (const [name, atMs] of toldMs) {
      expect(atMs).toBeGreaterThanOrEqual(Number(name));
      expect(atMs).toBeLessThanOrEqual(Number(name) + TICK_MS + 0.25);
    }
    expect(told).toHaveLength(delays.length);
  });

  it('share timers, and leave none behind', () => {
    const { clock, deadlines, told } = trial();
    const slots = Array.from({ length: 1_000 }, (_, at) => {
      const item = { name: 'late' };
      return { item, handle: deadlines.set(item, 100 + at / 100) };
    });
    expect(clock.timers).toBeLessThanOrEqual(4);
    for (const { item, handle } of [...slots, ...slots]) handle.cancel(item);
    expect(clock.timers).toBe(0);
    const short = { name: 'short' };
    deadlines.set(short, 50).cancel(short);
    clock.advance(1_000);
    expect(told).toEqual([]);
  });

  it('may cancel others of the same tick and set new ones when they fire', () => {
    const { clock, deadlines, told } = trial();
    const other = { name: 'other' };
    let cancelOther = () => {};
    deadlines.set(
      {
        name: 'first',
        whenTold: () => {
          cancelOther();
          deadlines.set({ name: 'anew' }, 200);
        },
      },
      200,
    );
    const handle = deadlines.set(other, 200);
    cancelOther = () => handle.cancel(other);
    deadlines.set({ name: 'last' }, 200);
    clock.advance(210);
    expect(told).toEqual(['first', 'last']);
    clock.advance(210);
    expect(told).toEqual(['first', 'last', 'anew']);
    expect(clock.timers).toBe(0);
  });

  it('of the same tick give the event loop its turns', async () => {
    const { clock, deadlines, told } = trial();
    let turns = 0;
    clock.turn = async () => {
      turns += 1;
    };
    for (let at = 0; at < 1_000; at += 1) deadlines.set({ name: `${at}` }, 200);
    clock.advance(210);
    expect(told.length).toBe(256);
    for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
    expect([told.length, turns]).toEqual([1_000, 3]);
  });
});
