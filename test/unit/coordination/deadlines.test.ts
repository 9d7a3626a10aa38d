import { describe, expect, it } from 'vitest';
import { Deadlines } from '../../../src/coordination/deadlines.js';
import { ManualClock } from '../../support/manual-clock.js';

const TICK_MS = 4;

function trial() {
  const clock = new ManualClock();
  let timers = 0;
  const after = clock.after.bind(clock);
  clock.after = (delayMs, fire) => {
    timers += 1;
    const cancel = after(delayMs, () => {
      timers -= 1;
      fire();
    });
    return () => {
      timers -= 1;
      cancel();
    };
  };
  const fired: string[] = [];
  return { clock, deadlines: new Deadlines(clock), fired, timers: () => timers };
}

describe('deadlines', () => {
  it('are told once, never early, and no more than a tick late', () => {
    const { clock, deadlines, fired } = trial();
    for (const delayMs of [0, 0.5, 99, 100, 103, 104, 1_000.25])
      deadlines.after(delayMs, () => fired.push(`${delayMs}`));
    const dueMs = new Map<string, number>();
    for (let ms = 0; ms <= 1_010; ms += 0.25) {
      for (const name of fired) if (!dueMs.has(name)) dueMs.set(name, ms);
      clock.advance(0.25);
    }
    expect([...dueMs.keys()]).toEqual(['0', '0.5', '99', '100', '103', '104', '1000.25']);
    for (const [name, atMs] of dueMs) {
      expect(atMs).toBeGreaterThanOrEqual(Number(name));
      expect(atMs).toBeLessThanOrEqual(Number(name) + TICK_MS + 0.25);
    }
    expect(fired).toHaveLength(7);
  });

  it('share timers, and leave none behind', () => {
    const { clock, deadlines, fired, timers } = trial();
    const cancels = Array.from({ length: 1_000 }, (_, at) =>
      deadlines.after(100 + at / 100, () => fired.push('late')),
    );
    expect(timers()).toBeLessThanOrEqual(4);
    for (const cancel of [...cancels, ...cancels]) cancel();
    expect(timers()).toBe(0);
    clock.advance(1_000);
    expect(fired).toEqual([]);
  });

  it('that fire may cancel others of their tick, and set new ones', () => {
    const { clock, deadlines, fired, timers } = trial();
    let cancelOther = () => {};
    deadlines.after(200, () => {
      fired.push('first');
      cancelOther();
      deadlines.after(200, () => fired.push('anew'));
    });
    cancelOther = deadlines.after(200, () => fired.push('other'));
    const same = () => fired.push('same');
    const cancel = deadlines.after(200, same);
    deadlines.after(200, same);
    cancel();
    clock.advance(210);
    expect(fired).toEqual(['first', 'same']);
    clock.advance(210);
    expect(fired).toEqual(['first', 'same', 'anew']);
    expect(timers()).toBe(0);
  });

  it('that fall together leave the event loop its turns', async () => {
    const { clock, deadlines, fired } = trial();
    let turns = 0;
    clock.turn = async () => {
      turns += 1;
    };
    for (let at = 0; at < 1_000; at += 1) deadlines.after(200, () => fired.push(`${at}`));
    clock.advance(210);
    expect(fired.length).toBe(256);
    for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
    expect([fired.length, turns]).toEqual([1_000, 3]);
  });
});
