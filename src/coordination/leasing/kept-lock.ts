import type { Clock } from '../ports/clock.js';
import type { LeaseQuorum } from '../ports/lease-quorum.js';
import { whenSettled } from '../words/when-settled.js';

export interface KeptLockParts {
  readonly quorum: Pick<LeaseQuorum, 'extend'>;
  readonly clock: Clock;
}

/** The lock of a lease, for the lock nodes. */
export interface Lock {
  readonly id: string;
  readonly nonce: string;
  readonly leaseMs: number;
}

/** The lock is extended as often as a holder extends its lease. */
const EXTENSIONS_PER_LEASE = 3;

/**
 * Waits for the store's reply, and extends the lock until then, so that a late store does not cost the lease. Undefined:
 * the lease is unknown here. An extension would lock what is free, and a caller can make up any token.
 */
export function keepingLock<T>(parts: KeptLockParts, lock: Lock | undefined, reply: Promise<T>): Promise<T> {
  if (lock === undefined) return reply;
  const { clock, quorum } = parts;
  const { id, nonce, leaseMs } = lock;
  let cancel = () => {};
  const extendLater = () => {
    cancel = clock.after(leaseMs / EXTENSIONS_PER_LEASE, () => {
      void quorum.extend(id, nonce, leaseMs);
      extendLater();
    });
  };
  extendLater();
  return whenSettled(reply, () => cancel());
}
