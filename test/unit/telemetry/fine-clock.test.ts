import { expect, it } from 'vitest';
import { FineClock } from '../../../src/telemetry/fine-clock.js';

/** A machine whose time is moved by hand, in milliseconds with fractions. */
class Machine {
  readonly began = 5_000_000.7;
  real = this.began;
  /** What was added to the wall clock. */
  setMs = 0;
  wallMs = () => Math.floor(this.real + this.setMs);
  steadyMs = () => this.real - this.began;
}

it('is less than a millisecond off, and more exact the more often it is asked', () => {
  const machine = new Machine();
  const clock = new FineClock(machine);
  const offMs = () => Math.abs(clock.nowMs() - machine.real);
  expect(offMs()).toBeLessThan(1);
  for (let asked = 0; asked < 100; asked += 1) {
    machine.real += 0.37;
    expect(offMs()).toBeLessThan(1);
  }
  expect(offMs()).toBeLessThan(0.05);
});

it('distinguishes times within a millisecond, and keeps their distance', () => {
  const machine = new Machine();
  const clock = new FineClock(machine);
  for (let asked = 0; asked < 100; asked += 1) {
    machine.real += 0.37;
    clock.nowMs();
  }
  const before = clock.nowMs();
  machine.real += 0.25;
  expect(clock.nowMs() - before).toBeCloseTo(0.25, 2);
});

it('follows a wall clock that is set forward or back', () => {
  const machine = new Machine();
  const clock = new FineClock(machine);
  for (const setMs of [3_600_000, -3_600_000]) {
    machine.setMs = setMs;
    expect(Math.abs(clock.nowMs() - (machine.real + setMs))).toBeLessThanOrEqual(1);
  }
});
