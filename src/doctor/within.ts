import type { Clock } from '../coordination/ports/clock.js';

/** Rejects if `work` takes longer. What it does meanwhile is not undone. */
export async function within<T>(clock: Clock, ms: number, work: () => Promise<T>): Promise<T> {
  let cancel = () => {};
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(ms, () => reject(new Error(`no answer within ${ms} ms`)));
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    cancel();
  }
}
