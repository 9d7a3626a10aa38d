import type { Clock } from './coordination/clock.js';

/** setTimeout takes a longer delay for none at all. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/**
 * The machine's monotonic clock. It counts from the wall clock at the start of this process, so that
 * fences made of it grow from one run of the process to the next; it never follows the wall clock after.
 */
export class SystemClock implements Clock {
  nowMs(): number {
    return performance.timeOrigin + performance.now();
  }

  /** Never early, where Node's timers are by up to a millisecond: they count in whole ones. */
  after(delayMs: number, fire: () => void): () => void {
    const dueMs = performance.now() + delayMs;
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number) => {
      timer = setTimeout(
        () => {
          const stillMs = dueMs - performance.now();
          if (stillMs > 0) arm(stillMs);
          else fire();
        },
        Math.min(DELAY_MS_MAX, Math.ceil(leftMs)),
      );
    };
    arm(delayMs);
    return () => clearTimeout(timer);
  }

  /** Sockets are read and timers run before this resolves. */
  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}
