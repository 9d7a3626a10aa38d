import { type ServiceError, status } from '@grpc/grpc-js';
import { failureMessage } from './failure-message.js';
import type { CallError } from './generated/dibs/v1/coordinator.js';
import { knownByName } from './known-by-name.js';

/** The names of the gRPC status codes that the service uses. Anything else is `UNKNOWN`. */
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

/** A call that ended without an outcome. For bad input the message begins with the field and gives its bounds. */
export class DibsError extends Error {
  override readonly name: string = 'DibsError';

  static {
    knownByName(DibsError, 'DibsError');
  }

  constructor(
    readonly code: DibsErrorCode,
    message: string,
    /** How long to wait before a retry, in milliseconds; undefined if a retry makes no sense or the service did not answer. */
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The wait ended without an answer: another caller is still rebuilding, or no replica could decide. */
export class DibsBusyError extends Error {
  override readonly name = 'DibsBusyError';

  static {
    knownByName(DibsBusyError, 'DibsBusyError');
  }

  constructor(
    readonly reason: BusyReason,
    /** How long to wait before a retry, in milliseconds. */
    readonly retryAfterMs: number,
    /** How long the holder has had its lease, in milliseconds; 0 if there is none. */
    readonly holderAgeMs: number,
  ) {
    super(`no answer within the wait (${reason}); retry in ${retryAfterMs} ms`);
  }
}

/** Another caller's rebuild failed, and the key's back-off is running. The message is that caller's. */
export class RebuildFailedError extends Error {
  override readonly name = 'RebuildFailedError';

  static {
    knownByName(RebuildFailedError, 'RebuildFailedError');
  }

  constructor(
    message: string,
    /** The remaining back-off, in milliseconds. */
    readonly retryAfterMs: number,
  ) {
    super(message);
  }
}

/** Some keys of a call for several failed. */
export class DibsManyError<T = unknown> extends Error {
  override readonly name = 'DibsManyError';

  static {
    knownByName(DibsManyError, 'DibsManyError');
  }

  constructor(
    /** The error of each of these keys, as a call for it alone would have it. */
    readonly errors: ReadonlyMap<string, unknown>,
    /** The values of all other keys. */
    readonly values: ReadonlyMap<string, T | null>,
  ) {
    const [[key, error] = []] = errors;
    const of = errors.size + values.size;
    super(`${errors.size} of ${of} keys failed; "${key}": ${failureMessage(error)}`, {
      cause: error,
    });
  }
}

/** A rebuild asked for its own key, directly or through another key. It would wait for itself. */
export class ReentrantRebuildError extends Error {
  override readonly name = 'ReentrantRebuildError';

  static {
    knownByName(ReentrantRebuildError, 'ReentrantRebuildError');
  }

  constructor(readonly key: string) {
    super(`dibs: the rebuild of "${key}" asks for "${key}" itself`);
  }
}

/** The codec can read neither the cached value nor the rebuilt one. `cause` is the codec's error. */
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

/** The reason of a rebuild's aborted signal: its result would no longer be stored. */
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

/** gRPC's text if the connection ended and the service did not answer. */
const CONNECTION_ENDED = /^Received RST_STREAM|^Bandwidth exhausted or memory limit exceeded$/;

/** gRPC's text if it could not send the request. */
const ENDED_HERE = /^Request message serialization failure/;

/** No answer came: the service may be down, and it is unknown whether it did anything. */
export function isUnreachable({ code, retryAfterMs }: DibsError): boolean {
  return retryAfterMs === undefined && (code === 'UNAVAILABLE' || code === 'DEADLINE_EXCEEDED');
}

/** What gRPC and sessions have reported, and none of the errors that this package itself has made. */
const answers = new WeakSet<DibsError>();

/** Whether the service has answered with this error. */
export function isAnswer(error: DibsError): boolean {
  return answers.has(error) && !isUnreachable(error);
}

function asAnswer(error: DibsError): DibsError {
  answers.add(error);
  return error;
}

/** The same error with another cause, or without one. */
export function withCause(error: DibsError, cause?: unknown): DibsError {
  const { code, message, retryAfterMs } = error;
  const again = new DibsError(code, message, retryAfterMs, cause === undefined ? {} : { cause });
  return isAnswer(error) ? asAnswer(again) : again;
}

/** The error of a unary call. */
export function dibsErrorOf(error: ServiceError): DibsError {
  // A server that closes a connection because of one caller ends the calls of others too. They may retry.
  if (CONNECTION_ENDED.test(error.details)) {
    const text = `the connection was closed: ${error.details}`;
    return new DibsError('UNAVAILABLE', text, undefined, { cause: error });
  }
  const [pushback] = error.metadata?.get('grpc-retry-pushback-ms') ?? [];
  const ms = Number(pushback ?? Number.NaN);
  const ended = new DibsError(
    errorCode(error.code),
    error.details,
    Number.isFinite(ms) && ms >= 0 ? ms : undefined,
    { cause: error },
  );
  return ended.code === 'CANCELLED' || ENDED_HERE.test(error.details) ? ended : asAnswer(ended);
}

/** The error of a call within another one. */
export function callErrorOf({ code, message, retryAfterMs }: CallError): DibsError {
  return asAnswer(new DibsError(errorCode(code), message, retryAfterMs));
}
