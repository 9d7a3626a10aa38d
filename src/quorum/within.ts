import type { Clock } from '../coordination/ports/clock.js';

/** The outcome of a step: its result, its error, or a timeout. */
export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed' | 'timed_out'; readonly why: string };

/** Runs a step with a timeout. Never rejects. Drops a later result. */
export function within<T>(clock: Clock, timeoutMs: number, step: () => Promise<T>): Promise<Outcome<T>> {
  return new Promise((resolve) => {
    let settled = false;
    const settle = (outcome: Outcome<T>) => {
      settled = true;
      cancel();
      resolve(outcome);
    };
    const cancel = clock.after(timeoutMs, () => {
      // Timers run before sockets are read. After a pause of this process, the reply may already be there.
      void clock.turn().then(() => {
        if (!settled) settle({ kind: 'timed_out', why: `no reply within ${timeoutMs} ms` });
      });
    });
    // Async, so that a step that throws fails like one that rejects.
    const taken = (async () => step())();
    taken.then(
      (value) => settle({ kind: 'done', value }),
      (error: unknown) =>
        settle({ kind: 'failed', why: error instanceof Error ? error.message : String(error) }),
    );
  });
}
