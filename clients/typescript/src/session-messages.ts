import type { ServiceError } from '@grpc/grpc-js';
import { DibsError, dibsErrorOf } from './errors.js';
import * as wire from './generated/dibs/v1/coordinator.js';
import { NumberWriter } from './wire-numbers.js';

/** The contract's bound for a message. A call that it allows is smaller; a larger value travels by itself. */
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

/** What goes on the stream, and the calls that cannot: one of those would end the stream, with all leases on it. */
export interface Encoded {
  readonly messages: readonly Buffer[];
  readonly broken: readonly { readonly id: number; readonly error: DibsError }[];
}

/** In one message, unless a call cannot be encoded, or they are larger than the sizes that were assumed. */
export function encoded(calls: wire.SessionCall[], cancelledIds: number[]): Encoded {
  const bytes = bytesOrFault({ hello: undefined, calls, cancelledIds });
  if (Buffer.isBuffer(bytes)) return { messages: [bytes], broken: [] };
  const [{ id } = { id: 0 }, ...more] = calls;
  if (more.length === 0) {
    const messages =
      cancelledIds.length === 0 ? [] : [bytesOf({ hello: undefined, calls: [], cancelledIds })];
    return { messages, broken: [{ id, error: bytes }] };
  }
  const half = Math.floor(calls.length / 2);
  const [first, rest] = [encoded(calls.slice(0, half), cancelledIds), encoded(calls.slice(half), [])];
  return {
    messages: [...first.messages, ...rest.messages],
    broken: [...first.broken, ...rest.broken],
  };
}

/** The bytes of a message that every service accepts, or why there is none. */
function bytesOrFault(request: wire.SessionRequest): Buffer | DibsError {
  try {
    const bytes = bytesOf(request);
    if (request.calls.length === 0 || bytes.length <= MESSAGE_BYTES_MAX) return bytes;
    return notSendable(`its ${bytes.length} bytes are more than ${MESSAGE_BYTES_MAX}`);
  } catch (cause) {
    return notSendable(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function notSendable(why: string, cause?: unknown): DibsError {
  return new DibsError('INVALID_ARGUMENT', `the request cannot be sent: ${why}`, undefined, { cause });
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
  if (FOR_GOOD.has(ended.code)) return ended;
  return new DibsError('UNAVAILABLE', ended.message, ended.retryAfterMs, { cause: error });
}
