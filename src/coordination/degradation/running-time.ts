import type { Clock } from '../ports/clock.js';

/** The length of a tick. Ticks run only while something listens. */
const TICK_MS = 50;
/** What one tick counts at most, however late it comes. */
const TICK_MS_MAX = 2 * TICK_MS;

/**
 * This process's own running time, in ticks. While the event loop is blocked, this time stops: a reply that
 * came meanwhile has not been read yet, and the other end is not to blame.
 */
export class RunningTime {
  #cancel: (() => void) | undefined;
  #toldMs = 0;

  /** `passed` gets the time since the last tick. It returns false to end the ticks. */
  constructor(
    private readonly clock: Pick<Clock, 'nowMs' | 'after'>,
    private readonly passed: (ms: number) => boolean,
  ) {}

  /** Begins to tick, unless it does already. */
  start(): void {
    if (this.#cancel !== undefined) return;
    this.#toldMs = this.clock.nowMs();
    this.#next();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #next(): void {
    this.#cancel = this.clock.after(TICK_MS, () => {
      const nowMs = this.clock.nowMs();
      const ms = Math.min(TICK_MS_MAX, nowMs - this.#toldMs);
      this.#toldMs = nowMs;
      this.#cancel = undefined;
      if (this.passed(ms)) this.#next();
    });
  }
}
