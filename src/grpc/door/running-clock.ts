import type { Clock } from '../../coordination/ports/clock.js';

/** {@link RunningClock.swept} is called this often. Of a longer time between two calls, only twice as much counts. */
export const SWEEP_EVERY_MS = 500;

/**
 * This process's own running time, as exact as the sweeps of the door. While the event loop is blocked, this time stops:
 * what clients sent or read meanwhile is not known yet, and they are not to blame.
 */
export class RunningClock {
  #sweptMs: number;
  #stoodMs = 0;

  constructor(private readonly clock: Pick<Clock, 'nowMs'>) {
    this.#sweptMs = clock.nowMs();
  }

  nowMs(): number {
    return this.clock.nowMs() - this.#stoodMs;
  }

  /** A sweep begins. */
  swept(): void {
    const nowMs = this.clock.nowMs();
    this.#stoodMs += Math.max(0, nowMs - this.#sweptMs - 2 * SWEEP_EVERY_MS);
    this.#sweptMs = nowMs;
  }
}
