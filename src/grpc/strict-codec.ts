import { isUtf8 } from 'node:buffer';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { MethodDefinition } from '@grpc/grpc-js';

/**
 * What a string field holds whose bytes were not UTF-8: a lone surrogate, which no UTF-8 can spell. It
 * stands in the field instead of an error, so that `decode.ts` can name the field.
 */
export const NOT_UTF8 = '\uD800';

/** A message as it came: decoded, or what is wrong with its bytes. */
export type Decoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly fault: string };

/**
 * Reads the wire without repairing it. Invalid UTF-8 becomes {@link NOT_UTF8} and a number beyond 2^53
 * becomes NaN: neither is within any bound, so that two different broken keys never become one.
 */
class StrictReader extends BinaryReader {
  constructor(bytes: Uint8Array) {
    super(bytes, utf8);
  }

  override int64(): bigint | string {
    const value = BigInt(super.int64());
    // The generated code turns this into a number by way of its text.
    return value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER ? 'NaN' : value;
  }
}

function utf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) return NOT_UTF8;
  // Not a TextDecoder, which drops a byte order mark at the start.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** A generated message type, as far as it is needed here. */
export interface MessageType<Message> {
  decode(reader: BinaryReader): Message;
}

export function decodeStrictly<Message>(type: MessageType<Message>, bytes: Uint8Array): Decoded<Message> {
  try {
    const reader = new StrictReader(bytes);
    const message = type.decode(reader);
    // The generated code stops at a tag that cannot be, and leaves the rest unread.
    if (reader.pos < reader.len) throw new Error(`unreadable at byte ${reader.pos}`);
    return { ok: true, message };
  } catch (error) {
    return { ok: false, fault: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * The same method with a deserializer that never throws: grpc-js makes INTERNAL of what a deserializer
 * throws, so the fault is handed to the handler, which makes INVALID_ARGUMENT of it.
 */
export function strict<Request, Response>(
  method: MethodDefinition<Request, Response>,
  type: MessageType<Request>,
): MethodDefinition<Decoded<Request>, Response> {
  return {
    ...method,
    requestSerialize: () => {
      throw new Error('a server sends no requests');
    },
    requestDeserialize: (bytes) => decodeStrictly(type, bytes),
  };
}
