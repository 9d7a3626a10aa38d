import { unlessBefore } from '../coordination/degradation/patience.js';
import type { Clock } from '../coordination/ports/clock.js';

const PAUSE_MS = 20;

/** Rejects if `work` takes longer. What it does meanwhile is not undone. */
export function within<T>(clock: Clock, ms: number, work: () => Promise<T>): Promise<T> {
  return unlessBefore(clock, ms, work(), (_, reject) => reject(new Error(`no answer within ${ms} ms`)));
}

/** Polls until it holds. False if it does not after `ms`. */
export async function holdsWithin(
  clock: Clock,
  ms: number,
  holds: () => boolean | Promise<boolean>,
): Promise<boolean> {
  const startMs = clock.nowMs();
  while (!(await holds())) {
    if (clock.nowMs() - startMs > ms) return false;
    await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
  }
  return true;
}
