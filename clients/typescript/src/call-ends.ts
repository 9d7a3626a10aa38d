import { DibsError } from './errors.js';
import type { SignalLike } from './light-signal.js';

// How calls end without an answer.

export const closed = () => new DibsError('CANCELLED', 'this client is closed');
export const gone = () => new DibsError('CANCELLED', 'the caller has left');
export const late = (deadlineMs: number) =>
  new DibsError('DEADLINE_EXCEEDED', `no answer within ${deadlineMs} ms`);

/** Why a call is over before it is sent; undefined if it is not. */
export function refusalOf(deadlineMs: number, signal: SignalLike | undefined): DibsError | undefined {
  if (signal?.aborted) return gone();
  return deadlineMs > 0 ? undefined : late(deadlineMs);
}
