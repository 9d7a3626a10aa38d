import { FULL_MS } from './come-back.js';
import { CoordinationError } from './errors.js';
import type { Limits } from './policy.js';

/** Throws `exhausted` for one caller more than may wait for a key, or on this replica. */
export function refuseIfFull(limits: Limits, atKey: number, onReplica: number): void {
  const { waitersPerKeyMax, waitersMax } = limits;
  if (atKey >= waitersPerKeyMax) {
    throw exhausted(`key: ${waitersPerKeyMax} callers wait for it on this replica (DIBS_WAITERS_PER_KEY)`);
  }
  if (onReplica >= waitersMax) throw exhausted(`${waitersMax} callers wait on this replica (DIBS_WAITERS)`);
}

/** For whoever would have to wait while this process cannot keep up with those who do. */
export function overloaded(): CoordinationError {
  return exhausted('this replica cannot keep up; ask another one, or later');
}

function exhausted(message: string): CoordinationError {
  return new CoordinationError('exhausted', message, FULL_MS);
}
