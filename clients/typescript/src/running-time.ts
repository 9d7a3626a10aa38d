/** The time is counted in so many parts. */
const PARTS = 8;
const PART_MS = { min: 2, max: 250 };

/**
 * Calls `over` when this process has run for `ms`, after what has arrived by then was read. While it is held up, by a
 * long computation or by its machine, time counts for little: what is late then is this process. The returned
 * function ends it.
 */
export function afterRunning(ms: number, over: () => void): () => void {
  const partMs = Math.min(PART_MS.max, Math.max(PART_MS.min, ms / PARTS));
  let leftMs = ms;
  let timer: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;
  const next = () => {
    const startMs = performance.now();
    timer = setTimeout(
      () => {
        leftMs -= Math.min(performance.now() - startMs, 2 * partMs);
        if (leftMs > 0) next();
        else immediate = setImmediate(over);
      },
      Math.min(partMs, leftMs),
    );
  };
  next();
  return () => {
    clearTimeout(timer);
    clearImmediate(immediate);
  };
}
