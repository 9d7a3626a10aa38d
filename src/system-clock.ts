import type { Clock } from './coordination/ports/clock.js';

/** What lies behind the global name is looked up at each use, which takes longer than reading the clock. */
const machine = performance;
const STARTED_MS = machine.timeOrigin;

/** setTimeout treats a longer delay as zero. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/**
 * The machine's monotonic clock. It counts from the wall clock at the start of this process, so that fences grow
 * from one run to the next. After that it never follows the wall clock.
 */
export class SystemClock implements Clock {
  nowMs(): number {
    return STARTED_MS + machine.now();
  }

  /** Never early. Node's own timers count whole milliseconds and may be early by up to one. */
  after(delayMs: number, fire: () => void): () => void {
    const dueMs = machine.now() + delayMs;
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number) => {
      timer = setTimeout(
        () => {
          const stillMs = dueMs - machine.now();
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
