import type { Clock } from '../ports/clock.js';

/** The length of a tick. Ticks run only while something listens. */
const TICK_MS = 50;
/** The most that one tick counts, however late it comes. */
const TICK_MS_MAX = 2 * TICK_MS;

/**
 * This process's own running time, in ticks. It stops while the event loop is blocked: a reply may have arrived then
 * and not been read yet, which is not the other side's fault.
 */
export class RunningTime {
  #cancel: (() => void) | undefined;
  #toldMs = 0;

  /** `passed` gets the time since the last tick. It returns false to end the ticks. */
  constructor(
    private readonly clock: Pick<Clock, 'nowMs' | 'after'>,
    private readonly passed: (ms: number) => boolean,
  ) {}

  /** Starts the ticks, unless they run already. */
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
