import type { ServiceError } from '@grpc/grpc-js';
import { DibsError, dibsErrorOf } from './errors.js';
import * as wire from './generated/dibs/v1/coordinator.js';
import { NumberWriter } from './wire-numbers.js';

/** The contract's bound for a message, unless it carries a single call. */
const MESSAGE_BYTES_MAX = 1_048_576;
/** Covers a key, a token, a holder and a request id. A failure's message or sixteen tags take up to four times that. */
const CALL_BYTES = 4_096;

/** As many calls from `from` on as one message may carry, and at least one. */
export function oneMessage(calls: readonly wire.SessionCall[], from: number): wire.SessionCall[] {
  let bytes = 0;
  let to = from;
  for (; to < calls.length; to += 1) {
    bytes += sizeOf((calls[to] as wire.SessionCall).request);
    if (to > from && bytes > MESSAGE_BYTES_MAX) break;
  }
  return calls.slice(from, to);
}

/** The bytes for the stream, and the calls that cannot be encoded: one of those would end the stream for all. */
export interface Encoded {
  readonly bytes: Buffer;
  readonly broken: readonly { readonly id: number; readonly error: DibsError }[];
}

export function encoded(calls: wire.SessionCall[], cancelledIds: number[]): Encoded {
  try {
    return { bytes: bytesOf({ hello: undefined, calls, cancelledIds }), broken: [] };
  } catch {
    const broken = calls.flatMap((call) => {
      try {
        wire.SessionCall.encode(call).finish();
        return [];
      } catch (cause) {
        const text = `the request cannot be sent: ${cause instanceof Error ? cause.message : cause}`;
        return [{ id: call.id, error: new DibsError('INVALID_ARGUMENT', text, undefined, { cause }) }];
      }
    });
    const rest = calls.filter(({ id }) => !broken.some((one) => one.id === id));
    return { bytes: bytesOf({ hello: undefined, calls: rest, cancelledIds }), broken };
  }
}

export function bytesOf(request: wire.SessionRequest): Buffer {
  const { buffer, byteOffset, byteLength } = wire.SessionRequest.encode(request, new NumberWriter()).finish();
  return Buffer.from(buffer, byteOffset, byteLength);
}

/**
 * At least the request's bytes: three for each character, and the most that all other fields take.
 */
function sizeOf(request: wire.SessionCall['request']): number {
  const value = request?.value;
  if (value === undefined) return CALL_BYTES;
  const keys = 'keys' in value ? value.keys.reduce((sum, key) => sum + 3 * key.length + 4, 0) : 0;
  const payload = 'payload' in value && value.payload?.$case === 'value' ? value.payload.value.byteLength : 0;
  return CALL_BYTES + keys + payload;
}

/** With these, a stream will be refused again. Any other end is a broken connection. */
const FOR_GOOD: ReadonlySet<string> = new Set([
  'INVALID_ARGUMENT',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'UNAUTHENTICATED',
  'UNIMPLEMENTED',
]);

/** What the end of a stream means for the calls on it. */
export function endOf(error: ServiceError): DibsError {
  const ended = dibsErrorOf(error);
  return FOR_GOOD.has(ended.code) ? ended : new DibsError('UNAVAILABLE', ended.message, ended.retryAfterMs);
}
