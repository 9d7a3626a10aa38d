import { setTimeout as sleep } from 'node:timers/promises';

const TAKEN_MS_MAX = 30_000;

/**
 * Starts a listener on a port that was free before. Another process may use the port for an outgoing connection for a
 * moment, so this retries for up to 30 seconds.
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
