const TICK_MS = 10;

/**
 * How long the work took, without the time for which this process itself was late. On a machine that others load, a
 * process gets no CPU for a while, which says nothing about what is under test.
 */
export async function runningMs(work: () => unknown): Promise<number> {
  const startMs = performance.now();
  let lastMs = startMs;
  let lateMs = 0;
  const tick = () => {
    const nowMs = performance.now();
    const lateByMs = nowMs - lastMs - TICK_MS;
    // A timer is some milliseconds late anywhere.
    if (lateByMs > TICK_MS) lateMs += lateByMs;
    lastMs = nowMs;
  };
  const timer = setInterval(tick, TICK_MS);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  tick();
  return performance.now() - startMs - lateMs;
}
