import { type ServiceError, status } from '@grpc/grpc-js';
import { failureMessage } from './failure-message.js';
import type { CallError } from './generated/dibs/v1/coordinator.js';
import { knownByName } from './known-by-name.js';

/** The names of gRPC's status codes, as far as the service uses them; anything else is `UNKNOWN`. */
export type DibsErrorCode =
  | 'CANCELLED'
  | 'DEADLINE_EXCEEDED'
  | 'INTERNAL'
  | 'INVALID_ARGUMENT'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAUTHENTICATED'
  | 'UNAVAILABLE'
  | 'UNIMPLEMENTED'
  | 'UNKNOWN';

/** A call that ended without an outcome. For bad input the message begins with the field and names its bounds. */
export class DibsError extends Error {
  override readonly name: string = 'DibsError';

  static {
    knownByName(DibsError, 'DibsError');
  }

  constructor(
    readonly code: DibsErrorCode,
    message: string,
    /** When to come back, in milliseconds; undefined where a retry makes no sense or the service did not answer. */
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The wait ended without an answer: another caller still rebuilds, or no replica could decide. */
export class DibsBusyError extends Error {
  override readonly name = 'DibsBusyError';

  static {
    knownByName(DibsBusyError, 'DibsBusyError');
  }

  constructor(
    readonly reason: BusyReason,
    /** When to come back, in milliseconds. */
    readonly retryAfterMs: number,
    /** How long the holder has had its lease, in milliseconds; 0 if there is none. */
    readonly holderAgeMs: number,
  ) {
    super(`no answer within the wait (${reason}); come back in ${retryAfterMs} ms`);
  }
}

/** Another caller's rebuild failed, and the key's back-off runs. The message is what that caller said. */
export class RebuildFailedError extends Error {
  override readonly name = 'RebuildFailedError';

  static {
    knownByName(RebuildFailedError, 'RebuildFailedError');
  }

  constructor(
    message: string,
    /** How long the back-off still runs, in milliseconds. */
    readonly retryAfterMs: number,
  ) {
    super(message);
  }
}

/** Some keys of a call for several could not be had. */
export class DibsManyError<T = unknown> extends Error {
  override readonly name = 'DibsManyError';

  static {
    knownByName(DibsManyError, 'DibsManyError');
  }

  constructor(
    /** What each of them alone would have been rejected with, by key. */
    readonly errors: ReadonlyMap<string, unknown>,
    /** The values of all other keys. */
    readonly values: ReadonlyMap<string, T | null>,
  ) {
    const [[key, error] = []] = errors;
    const of = errors.size + values.size;
    super(`${errors.size} of ${of} keys could not be had; "${key}": ${failureMessage(error)}`, {
      cause: error,
    });
  }
}

/** A rebuild asked for the key that it rebuilds, itself or by way of another key: it would wait for itself. */
export class ReentrantRebuildError extends Error {
  override readonly name = 'ReentrantRebuildError';

  static {
    knownByName(ReentrantRebuildError, 'ReentrantRebuildError');
  }

  constructor(readonly key: string) {
    super(`dibs: the rebuild of "${key}" asks for "${key}" itself`);
  }
}

/** The codec cannot read the value, and the value that a refresh brought neither. `cause` is the codec's error. */
export class UndecodableError extends Error {
  override readonly name = 'UndecodableError';

  static {
    knownByName(UndecodableError, 'UndecodableError');
  }

  constructor(
    readonly key: string,
    cause: unknown,
  ) {
    super(`dibs: the codec cannot read the value of "${key}"`, { cause });
  }
}

/** The reason with which a rebuild's signal is aborted: its result would not be stored any more. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';

  static {
    knownByName(LeaseLostError, 'LeaseLostError');
  }

  constructor() {
    super('the lease was lost: it ran out, was held for too long, or the key was invalidated');
  }
}

export type BusyReason =
  | 'wait_ended'
  | 'deadline_too_short'
  | 'undecided'
  | 'budget'
  | 'draining'
  | 'no_value'
  | 'unspecified';

const CODES: Partial<Record<number, DibsErrorCode>> = {
  [status.CANCELLED]: 'CANCELLED',
  [status.DEADLINE_EXCEEDED]: 'DEADLINE_EXCEEDED',
  [status.INTERNAL]: 'INTERNAL',
  [status.INVALID_ARGUMENT]: 'INVALID_ARGUMENT',
  [status.PERMISSION_DENIED]: 'PERMISSION_DENIED',
  [status.RESOURCE_EXHAUSTED]: 'RESOURCE_EXHAUSTED',
  [status.UNAUTHENTICATED]: 'UNAUTHENTICATED',
  [status.UNAVAILABLE]: 'UNAVAILABLE',
  [status.UNIMPLEMENTED]: 'UNIMPLEMENTED',
};

/** The name of a gRPC status code. */
function errorCode(code: number): DibsErrorCode {
  return CODES[code] ?? 'UNKNOWN';
}

/** What gRPC says when it is the connection that ended, and not the service that answered. */
const CONNECTION_ENDED = /^Received RST_STREAM|^Bandwidth exhausted or memory limit exceeded$/;

/** The error of a call of its own. */
export function dibsErrorOf(error: ServiceError): DibsError {
  // A server that closes a connection for one caller's sake ends the calls of others too: they may ask again.
  if (CONNECTION_ENDED.test(error.details)) {
    const text = `the connection was closed: ${error.details}`;
    return new DibsError('UNAVAILABLE', text, undefined, { cause: error });
  }
  const [pushback] = error.metadata?.get('grpc-retry-pushback-ms') ?? [];
  const ms = Number(pushback ?? Number.NaN);
  return new DibsError(
    errorCode(error.code),
    error.details,
    Number.isFinite(ms) && ms >= 0 ? ms : undefined,
    { cause: error },
  );
}

/** The error of a call within another one. */
export function callErrorOf({ code, message, retryAfterMs }: CallError): DibsError {
  return new DibsError(errorCode(code), message, retryAfterMs);
}
