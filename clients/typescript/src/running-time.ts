import { type Clock, SYSTEM_CLOCK } from './clock.js';

/** The time is counted in this many parts. */
const PARTS = 8;
const PART_MS = { min: 2, max: 250 };

/**
 * Calls `over` when this process has run for `ms`, after everything that has arrived by then was read. While the
 * process is held up, by a long computation or by its machine, time counts for little: this process itself is late
 * then. It does not keep the process alive: a call that waits for it has a deadline of its own. The returned function
 * ends it.
 */
export function afterRunning(ms: number, over: () => void, clock: Clock = SYSTEM_CLOCK): () => void {
  const partMs = Math.min(PART_MS.max, Math.max(PART_MS.min, ms / PARTS));
  let leftMs = ms;
  let cancel = () => {};
  const next = () => {
    const startMs = clock.nowMs();
    cancel = clock.behind(Math.min(partMs, leftMs), () => {
      leftMs -= Math.min(clock.nowMs() - startMs, 2 * partMs);
      if (leftMs > 0) next();
      else cancel = clock.soon(over);
    });
  };
  next();
  return () => cancel();
}
