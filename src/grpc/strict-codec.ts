import { isUtf8 } from 'node:buffer';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { MethodDefinition } from '@grpc/grpc-js';

/**
 * The content of a string field with invalid UTF-8: a lone surrogate, which valid UTF-8 cannot encode. It replaces an
 * error, so that `decode.ts` can name the field.
 */
export const NOT_UTF8 = '\uD800';

/** A received message: decoded, or its fault. */
export type Decoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly fault: string };

/**
 * Reads the wire without repairing it. Invalid UTF-8 becomes {@link NOT_UTF8}, and a number beyond 2^53 becomes NaN.
 * Both are outside every bound, so two different broken keys never become one.
 */
class StrictReader extends BinaryReader {
  constructor(bytes: Uint8Array) {
    super(bytes, utf8);
  }

  override int64(): bigint | string {
    const value = BigInt(super.int64());
    // The generated code converts this to a number through its text.
    return value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER ? 'NaN' : value;
  }
}

function utf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) return NOT_UTF8;
  // Not a TextDecoder, because that drops a leading byte order mark.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The part of a generated message type that is used here. */
export interface MessageType<Message> {
  decode(reader: BinaryReader): Message;
}

export function decodeStrictly<Message>(type: MessageType<Message>, bytes: Uint8Array): Decoded<Message> {
  try {
    const reader = new StrictReader(bytes);
    const message = type.decode(reader);
    // The generated code stops at an invalid tag and leaves the rest unread.
    if (reader.pos < reader.len) throw new Error(`unreadable at byte ${reader.pos}`);
    return { ok: true, message };
  } catch (error) {
    return { ok: false, fault: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * The same method with a deserializer that never throws. grpc-js would answer INTERNAL. Instead the handler gets the
 * fault and answers INVALID_ARGUMENT.
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
