import { SYSTEM_CLOCK } from './clock.js';
import { DibsError } from './errors.js';
import { pause } from './pause.js';
import type { Transport } from './transport.js';

const PAUSE_MS = 50;

/**
 * Resolves when there is a first connection, after any number of attempts. Rejects if there is none within `timeoutMs`.
 */
export async function readyWithin(transport: Pick<Transport, 'ready'>, timeoutMs: number): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const leftMs = Math.max(1, Math.ceil(untilMs - performance.now()));
    try {
      return await within(leftMs, transport.ready?.(leftMs) ?? Promise.resolve());
    } catch (error) {
      if (performance.now() + PAUSE_MS >= untilMs) throw error;
      await pause(SYSTEM_CLOCK, PAUSE_MS);
    }
  }
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DibsError('UNAVAILABLE', `no connection within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
