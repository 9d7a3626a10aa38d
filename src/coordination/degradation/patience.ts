import type { Clock } from '../ports/clock.js';
import { StoreUnavailable } from '../ports/value-store.js';
import type { Limits, Policy } from '../words/policy.js';

/** A namespace that prefers to fail gets an error within a second when the store is late. */
const FAIL_MS = 900;

export interface Patience {
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'storeTimeoutMs'>;
  policyOf(namespace: string): Policy;
}

/**
 * Waits for the store's reply as long as the namespace's policy allows: by default as long as the store may only be
 * late. Otherwise rejects with a StoreUnavailable that is `late`. The reply may still come.
 */
export function inPatience<T>(parts: Patience, namespace: string, reply: Promise<T>): Promise<T> {
  const { clock, limits } = parts;
  const { onLate, onLoss } = parts.policyOf(namespace);
  if (onLate === 'wait' && onLoss === 'degrade') return reply;
  const patienceMs = onLate === 'degrade' ? Math.min(FAIL_MS, limits.storeTimeoutMs) : FAIL_MS;
  return unlessBefore(clock, patienceMs, reply, (_resolve, reject) => {
    // Timers run before sockets are read: after a stall of this process the reply may be there already.
    void clock.turn().then(() => {
      reject(new StoreUnavailable(`no reply of the store within ${patienceMs} ms`, { how: 'late' }));
    });
  });
}

/** The reply. If there is none after `ms`, `otherwise` is called, and may settle the promise before it comes. */
export function unlessBefore<T>(
  clock: Clock,
  ms: number,
  reply: Promise<T>,
  otherwise: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => otherwise(resolve, reject));
    reply.then(resolve, reject).finally(cancel);
  });
}

/** The store is not to be waited for: it is gone or silent, or the namespace does not wait for a late one. */
export function isLost(error: StoreUnavailable, { onLate }: Policy): boolean {
  return error.how !== 'late' || onLate === 'degrade';
}
