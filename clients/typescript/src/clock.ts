import { TIMER_MS_MAX } from './numbers.js';

/** Time. Production reads the machine's monotonic clock. The simulation has its own. */
export interface Clock {
  /** Milliseconds, with fractions, on a clock that never jumps. Only differences have a meaning. */
  nowMs(): number;
  /** Calls `fire` once, `delayMs` from now. The returned function cancels it; cancelling twice is harmless. */
  after(delayMs: number, fire: () => void): () => void;
  /** The same, without keeping the process alive. */
  behind(delayMs: number, fire: () => void): () => void;
  /** Calls `fire` at the end of this turn of the event loop, after everything that has arrived was read. */
  soon(fire: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, fire) {
    const timer = setTimeout(fire, countable(delayMs));
    return () => clearTimeout(timer);
  },
  behind(delayMs, fire) {
    const timer = setTimeout(fire, countable(delayMs)).unref();
    return () => clearTimeout(timer);
  },
  soon(fire) {
    const immediate = setImmediate(fire);
    return () => clearImmediate(immediate);
  },
};

/** Node's timers fire at once for a time that is longer than they can count. */
function countable(delayMs: number): number {
  return Math.min(delayMs, TIMER_MS_MAX);
}
