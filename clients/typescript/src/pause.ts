import type { Clock } from './clock.js';
import type { SignalLike } from './light-signal.js';

/** Resolves after `ms`, or at once when the signal is aborted. */
export function pause(clock: Clock, ms: number, signal?: SignalLike): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const over = () => {
      cancel();
      signal?.removeEventListener('abort', over);
      resolve();
    };
    const cancel = clock.after(ms, over);
    signal?.addEventListener('abort', over, { once: true });
  });
}
