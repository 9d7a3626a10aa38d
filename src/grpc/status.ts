import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { CoordinationError } from '../coordination/words/errors.js';
import type { CallError } from './generated/dibs/v1/coordinator.js';

const CODES = {
  invalid_argument: status.INVALID_ARGUMENT,
  exhausted: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  permission_denied: status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  unimplemented: status.UNIMPLEMENTED,
  failed_precondition: status.FAILED_PRECONDITION,
} satisfies Record<CoordinationError['kind'], status>;

/** The trailer of gRPC's retry design (A6), in milliseconds. A negative number forbids a retry. */
const PUSHBACK = 'grpc-retry-pushback-ms';
const DO_NOT_RETRY = -1;
/** Fixed, because a caller cannot act on an internal cause, and the cause may contain confidential data. */
const INTERNAL_TEXT = 'internal error; the cause is in the log of this replica';

/** `UNAVAILABLE` for 14. */
export function codeName(code: number): string {
  return status[code] ?? 'UNKNOWN';
}

/** The error of a call within another one, the same as from {@link statusOf}. */
export function callErrorOf(error: unknown, unexpected: (cause: unknown) => void): CallError {
  const { code = status.UNKNOWN, details = '' } = statusOf(error, unexpected);
  const retryAfterMs = error instanceof CoordinationError ? error.retryAfterMs : undefined;
  return { code, message: details, retryAfterMs: retryAfterMs && Math.ceil(retryAfterMs) };
}

/** The one map from errors to statuses. `unexpected` receives the cause of every INTERNAL. */
export function statusOf(
  error: unknown,
  unexpected: (cause: unknown) => void,
): StatusObject & { readonly code: status } {
  const metadata = new Metadata();
  if (!(error instanceof CoordinationError)) {
    unexpected(error);
    return { code: status.INTERNAL, details: INTERNAL_TEXT, metadata };
  }
  const { kind, message, retryAfterMs } = error;
  if (kind === 'exhausted' || kind === 'unavailable') {
    metadata.set(PUSHBACK, String(retryAfterMs === undefined ? DO_NOT_RETRY : Math.ceil(retryAfterMs)));
  }
  return { code: CODES[kind], details: message, metadata };
}
