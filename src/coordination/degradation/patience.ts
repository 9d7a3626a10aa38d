import type { Clock } from '../ports/clock.js';
import { StoreUnavailable } from '../ports/value-store.js';
import type { Limits, Policy } from '../words/policy.js';
import type { Lateness } from './lateness.js';

/**
 * With `on_loss: fail`, callers get their error within a second if the store, or a majority of the lock nodes, is late.
 */
export const FAIL_MS = 900;

export interface Patience {
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'storeTimeoutMs'>;
  policyOf(namespace: string): Policy;
}

/** A request that waits for its turn before it is sent. */
export interface Turn {
  /** Undefined until it is sent. */
  sentAtMs(): number | undefined;
  readonly lateness: Pick<Lateness, 'owedSinceMs'>;
}

/**
 * Waits for the store's reply as long as the namespace's policy allows: by default as long as the store may only be
 * late. Then rejects with a StoreUnavailable that is `late`, and the reply may still come. Without `turn`, the request
 * is sent now.
 */
export function inPatience<T>(
  parts: Patience,
  namespace: string,
  reply: Promise<T>,
  turn?: Turn,
): Promise<T> {
  const { clock, limits } = parts;
  const { onLate, onLoss } = parts.policyOf(namespace);
  if (onLate === 'wait' && onLoss === 'degrade') return reply;
  const patienceMs = onLate === 'degrade' ? Math.min(FAIL_MS, limits.storeTimeoutMs) : FAIL_MS;
  const nowMs = clock.nowMs();
  // Until it is sent, the requests before it may be late.
  const sinceMs = () => (turn === undefined ? nowMs : (turn.sentAtMs() ?? turn.lateness.owedSinceMs));
  return new Promise((resolve, reject) => {
    let settled = false;
    let cancel = () => {};
    const check = () => {
      if (settled) return;
      const leftMs = patienceMs - (clock.nowMs() - (sinceMs() ?? clock.nowMs()));
      if (leftMs > 0) later(leftMs);
      else reject(new StoreUnavailable(`no reply of the store within ${patienceMs} ms`, { how: 'late' }));
    };
    const later = (ms: number) => {
      // Timers run before sockets are read: after a stall of this process the reply may be there already.
      cancel = clock.after(ms, () => void clock.turn().then(check));
    };
    later(patienceMs);
    reply.then(resolve, reject).finally(() => {
      settled = true;
      cancel();
    });
  });
}

/** The reply. Calls `otherwise` if there is none after `ms`. That may settle the promise first. */
export function unlessBefore<T>(
  clock: Clock,
  ms: number,
  reply: Promise<T>,
  otherwise: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => otherwise(resolve, reject));
    reply.then(
      (value) => {
        cancel();
        resolve(value);
      },
      (error) => {
        cancel();
        reject(error);
      },
    );
  });
}

/** Whether to continue without the store: it is gone or silent, or the namespace does not wait for a late one. */
export function isLost(error: StoreUnavailable, { onLate }: Policy): boolean {
  return error.how !== 'late' || onLate === 'degrade';
}
