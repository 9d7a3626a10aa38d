import type { Clock } from '../coordination/clock.js';

/** What became of a step: its result, its error, or neither in time. */
export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed' | 'timed_out'; readonly why: string };

/** Takes a step and waits for it at most `timeoutMs`. Never rejects; what settles later is dropped. */
export function within<T>(clock: Clock, timeoutMs: number, step: () => Promise<T>): Promise<Outcome<T>> {
  return new Promise((resolve) => {
    let settled = false;
    const settle = (outcome: Outcome<T>) => {
      settled = true;
      cancel();
      resolve(outcome);
    };
    const cancel = clock.after(timeoutMs, () => {
      // Timers run before sockets are read: after a stall of this process the reply may be there already.
      void clock.turn().then(() => {
        if (!settled) settle({ kind: 'timed_out', why: `no reply within ${timeoutMs} ms` });
      });
    });
    // An async function, so that a step that throws at once fails like one that rejects.
    const taken = (async () => step())();
    taken.then(
      (value) => settle({ kind: 'done', value }),
      (error: unknown) =>
        settle({ kind: 'failed', why: error instanceof Error ? error.message : String(error) }),
    );
  });
}
