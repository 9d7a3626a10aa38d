const TICK_MS = 10;

/**
 * How long the work took, without the time for which this process was delayed. On a busy machine a process gets no CPU
 * for a while, which says nothing about the code under test.
 */
export async function runningMs(work: () => unknown): Promise<number> {
  const startMs = performance.now();
  let lastMs = startMs;
  let lateMs = 0;
  const tick = () => {
    const nowMs = performance.now();
    const lateByMs = nowMs - lastMs - TICK_MS;
    // A timer is a few milliseconds late on any machine.
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
