import { StoreUnavailable } from '../ports/value-store.js';
import { CoordinationError } from '../words/errors.js';
import type { Policy } from '../words/policy.js';

/** A second is long enough for a connection to come back, and short beside any rebuild worth a lease. */
const RETRY_AFTER_MS = 1_000;

/** Nothing can decide now: the error that every path off the degradation ends in. */
export function unavailable(message: string): CoordinationError {
  return new CoordinationError('unavailable', message, RETRY_AFTER_MS);
}

/** A namespace may prefer an error to the degradation. */
export function throwIfOnLossFails(policy: Policy, what: string): void {
  if (policy.onLoss === 'fail')
    throw unavailable(`${what} cannot be reached, and the namespace's on_loss is fail`);
}

/** Only the loss of the store is expected; any other error is our own fault and is thrown on. */
export function rethrowUnlessUnavailable(error: unknown): asserts error is StoreUnavailable {
  if (!(error instanceof StoreUnavailable)) throw error;
}

/** The same, for what can be done without. */
export function undefinedIfUnavailable(error: unknown): undefined {
  rethrowUnlessUnavailable(error);
}
