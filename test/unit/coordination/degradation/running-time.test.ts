import { expect, it } from 'vitest';
import { RunningTime } from '../../../../src/coordination/degradation/running-time.js';
import { ManualClock } from '../../../support/manual-clock.js';

/** A clock that can stall: all its timers fire after the jump, as when the event loop was blocked. */
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

it('running time follows the clock from its start', () => {
  const { clock, time, of } = counted();
  clock.advance(500);
  time.start();
  time.start();
  clock.advance(2_000);
  expect(of.passedMs).toBe(2_000);
});

it('running time leaves out the time in which the event loop is blocked', () => {
  const { clock, time, of } = counted();
  clock.stalls = true;
  time.start();
  clock.stall(5_000);
  // Each stall counts as two ticks at most.
  expect(of.passedMs).toBeLessThanOrEqual(100);
  clock.stall(5_000);
  expect(of.passedMs).toBeLessThanOrEqual(200);
});

it('running time stops when its callback returns false, and leaves no timer', () => {
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
