import type { Edge } from './answer.js';
import type { CallError } from './generated/dibs/v1/coordinator.js';
import { callErrorOf, codeName, statusOf } from './status.js';

/** `Publish` for `/dibs.v1.CoordinatorService/Publish`. */
export function methodName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

type Told = Pick<Edge, 'unexpected' | 'failed'>;

/**
 * The status for the caller of the method at `path`. It counts as an error of that method, unless the caller `isGone`:
 * it gets none.
 */
export function failedStatus(
  edge: Told,
  path: string,
  error: unknown,
  isGone = false,
): ReturnType<typeof statusOf> {
  const failure = statusOf(error, (cause) => edge.unexpected(cause, path));
  if (!isGone) edge.failed(methodName(path), codeName(failure.code));
  return failure;
}

/** The same for the error of a call within another one. */
export function failedCall(edge: Told, path: string, error: unknown, isGone: boolean): CallError {
  const failure = callErrorOf(error, (cause) => edge.unexpected(cause, path));
  if (!isGone) edge.failed(methodName(path), codeName(failure.code));
  return failure;
}
