import type { Clock } from '../coordination/ports/clock.js';
import type { Refusal } from './lock-node.js';

const REFUSED: Refusal['name'] = 'Refused';

/** The outcome of a step: its result, its error, a refusal of the node, or a timeout. */
export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed' | 'refused' | 'timed_out'; readonly why: string };

/** Callbacks for a step, in addition to its outcome. */
export interface Told {
  /** An answer has come, of any kind, also after the timeout. */
  answered(): void;
  timedOut(why: string): void;
}

const TELLS_NO_ONE: Told = { answered: () => {}, timedOut: () => {} };

/**
 * Runs a step with a timeout, which began `sinceMs` ago. Never rejects. Drops a later result. Costs one promise
 * more than the step itself.
 */
export function within<T>(
  clock: Clock,
  timeoutMs: number,
  step: () => Promise<T>,
  told: Told = TELLS_NO_ONE,
  sinceMs = 0,
): Promise<Outcome<T>> {
  return new Promise((resolve) => {
    let settled = false;
    const settle = (outcome: Outcome<T>) => {
      if (settled) return;
      settled = true;
      cancel();
      resolve(outcome);
    };
    const cancel = clock.after(timeoutMs - sinceMs, () => {
      // Timers run before sockets are read. After a pause of this process, the reply may already be there.
      void clock.turn().then(() => {
        if (settled) return;
        const why = `no reply within ${timeoutMs} ms`;
        told.timedOut(why);
        settle({ kind: 'timed_out', why });
      });
    });
    const failed = (error: unknown) => {
      told.answered();
      settle(failureOf(error));
    };
    try {
      step().then((value) => {
        told.answered();
        settle({ kind: 'done', value });
      }, failed);
    } catch (error) {
      // A step that throws fails like one that rejects.
      failed(error);
    }
  });
}

/** A refusal is distinguished from other errors: the node itself does not want to. */
export function failureOf(error: unknown): { readonly kind: 'failed' | 'refused'; readonly why: string } {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { kind: name === REFUSED ? 'refused' : 'failed', why: message };
}
