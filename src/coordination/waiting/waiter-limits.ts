import { CoordinationError } from '../words/errors.js';
import type { Limits } from '../words/policy.js';
import { FULL_MS } from './retry-after.js';

export interface WaiterLimitsParts {
  readonly limits: Limits;
  /** How many callers of one identity may wait here, Infinity for any number. Absent while authentication is off. */
  readonly waitersMaxOf?: ((identity: string) => number) | undefined;
}

/** Counts the callers without an answer, over all keys, and bounds them. */
export class WaiterLimits {
  #size = 0;
  readonly #sizeOf = new Map<string, number>();

  constructor(private readonly parts: WaiterLimitsParts) {}

  get size(): number {
    return this.#size;
  }

  /** Throws `exhausted` if one more caller would be too many for the key, for this replica, or for its identity. */
  refuseIfFull(identity: string, atKey: number): void {
    const { waitersPerKeyMax, waitersMax } = this.parts.limits;
    if (atKey >= waitersPerKeyMax) {
      throw exhausted(`key: ${waitersPerKeyMax} callers wait for it on this replica (DIBS_WAITERS_PER_KEY)`);
    }
    if (this.#size >= waitersMax) {
      throw exhausted(`${waitersMax} callers wait on this replica (DIBS_WAITERS)`);
    }
    if (identity === '') return;
    const max = this.parts.waitersMaxOf?.(identity) ?? Number.POSITIVE_INFINITY;
    if ((this.#sizeOf.get(identity) ?? 0) >= max) {
      throw exhausted(`${max} callers of ${identity} wait on this replica (waiters in DIBS_AUTH_FILE)`);
    }
  }

  enter(identity: string): void {
    this.#size += 1;
    if (identity !== '') this.#sizeOf.set(identity, (this.#sizeOf.get(identity) ?? 0) + 1);
  }

  leave(identity: string): void {
    this.#size -= 1;
    if (identity === '') return;
    const left = (this.#sizeOf.get(identity) ?? 0) - 1;
    if (left > 0) this.#sizeOf.set(identity, left);
    else this.#sizeOf.delete(identity);
  }
}

/** For a caller that would have to wait while this process is overloaded. */
export function overloaded(): CoordinationError {
  return exhausted('this replica is overloaded; retry later, or at another replica');
}

function exhausted(message: string): CoordinationError {
  return new CoordinationError('exhausted', message, FULL_MS);
}
