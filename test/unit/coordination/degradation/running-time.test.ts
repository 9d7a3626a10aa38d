import { expect, it } from 'vitest';
import { RunningTime } from '../../../../src/coordination/degradation/running-time.js';
import { ManualClock } from '../../../support/manual-clock.js';

/** A clock whose timers all fire when it has been moved: the event loop stood still meanwhile. */
class StallingClock extends ManualClock {
  readonly #timers = new Set<() => void>();

  override after(delayMs: number, fire: () => void): () => void {
    if (!this.stalls) return super.after(delayMs, fire);
    this.#timers.add(fire);
    return () => this.#timers.delete(fire);
  }

  stalls = false;

  stall(ms: number): void {
    this.advance(ms);
    const due = [...this.#timers];
    this.#timers.clear();
    for (const fire of due) fire();
  }
}

function counted() {
  const clock = new StallingClock();
  const trial = { clock, passedMs: 0, goesOn: true };
  const time = new RunningTime(clock, (ms) => {
    trial.passedMs += ms;
    return trial.goesOn;
  });
  return { ...trial, time, of: trial };
}

it('passes as the clock does, from the start on', () => {
  const { clock, time, of } = counted();
  clock.advance(500);
  time.start();
  time.start();
  clock.advance(2_000);
  expect(of.passedMs).toBe(2_000);
});

it('stands still while the event loop does', () => {
  const { clock, time, of } = counted();
  clock.stalls = true;
  time.start();
  clock.stall(5_000);
  // One tick counts, and a tick that is a little late.
  expect(of.passedMs).toBeLessThanOrEqual(100);
  clock.stall(5_000);
  expect(of.passedMs).toBeLessThanOrEqual(200);
});

it('ends when it is no longer wanted, and leaves no timer', () => {
  const { clock, time, of } = counted();
  time.start();
  clock.advance(100);
  of.goesOn = false;
  clock.advance(1_000);
  expect(of.passedMs).toBe(150);
  expect(clock.timers).toBe(0);
  of.goesOn = true;
  time.start();
  clock.advance(100);
  expect(of.passedMs).toBe(250);
  time.stop();
  expect(clock.timers).toBe(0);
});
