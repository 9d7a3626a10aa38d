import { StoreUnavailable } from '../ports/value-store.js';
import { CoordinationError } from '../words/errors.js';
import type { Policy } from '../words/policy.js';

/** A second is long enough for a connection to come back, and short beside any rebuild worth a lease. */
const RETRY_AFTER_MS = 1_000;

/** The error if no authority can decide now. */
export function unavailable(message: string): CoordinationError {
  return new CoordinationError('unavailable', message, RETRY_AFTER_MS);
}

/** A namespace may prefer an error to the degradation. */
export function throwIfOnLossFails(policy: Policy, what: string): void {
  if (policy.onLoss === 'fail')
    throw unavailable(`${what} cannot be reached, and the namespace's on_loss is fail`);
}

/** Rethrows everything except the expected loss of the store. Any other error is our own fault. */
export function rethrowUnlessUnavailable(error: unknown): asserts error is StoreUnavailable {
  if (!(error instanceof StoreUnavailable)) throw error;
}

/** The same, for a result that is not essential. */
export function undefinedIfUnavailable(error: unknown): undefined {
  rethrowUnlessUnavailable(error);
}

/**
 * For a step that no caller waits for. Also ignores that the store refuses it because something else has the name of its
 * key: the store's connection has reported that, and the callers of the key get an error.
 */
export function ignoreIfRefused(error: unknown): undefined {
  if (!(error instanceof CoordinationError)) rethrowUnlessUnavailable(error);
}

/** If no authority can decide now, an attempt does not fail: its caller keeps waiting. */
export function undecidedIfUnavailable(error: unknown): undefined {
  if (!(error instanceof CoordinationError)) throw error;
}
