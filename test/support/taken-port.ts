import { setTimeout as sleep } from 'node:timers/promises';

const TAKEN_MS_MAX = 5_000;

/**
 * Starts what listens at a port that was free once. A connection of another process may have the port as its own end for
 * a moment: then it is tried again, for up to five seconds.
 */
export async function whenPortIsFree<T>(start: () => Promise<T>): Promise<T> {
  for (const beganMs = performance.now(); ; await sleep(200)) {
    try {
      return await start();
    } catch (error) {
      const isTaken = /EADDRINUSE|Address already in use/.test(String(error));
      if (!isTaken || performance.now() - beganMs > TAKEN_MS_MAX) throw error;
    }
  }
}
