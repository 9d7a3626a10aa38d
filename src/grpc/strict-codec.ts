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
 * The tags and lengths of one message. It holds at most 1,000 keys, 16 tags and its other fields, of two each. The rest
 * is room for later versions.
 */
export const PARTS_MAX = 4_000;
/** In a session's message, which carries many calls, each takes two bytes or more. */
export const SESSION_PARTS_MAX = 500_000;

/** A number in the one form that the generated code accepts. It asks for the text, and makes a number of that. */
class Whole {
  value = 0;

  /** The number itself, because its text would cost more than the rest of the field. */
  toString(): string {
    return this.value as unknown as string;
  }
}

/**
 * Reads the wire without repairing it. Invalid UTF-8 becomes {@link NOT_UTF8}, and a number beyond 2^53 becomes NaN.
 * Both are outside every bound, so two different broken keys never become one. Throws at too many tags and lengths.
 */
class StrictReader extends BinaryReader {
  readonly #whole = new Whole();
  /** The generated code reads every tag and every length with it. */
  override uint32 = countedUint32 as () => number;
  partsLeft: number;

  constructor(
    private readonly bytesOf: Uint8Array,
    readonly partsMax: number,
  ) {
    super(bytesOf, utf8);
    this.partsLeft = partsMax;
  }

  /** Without a BigInt and without text: a message may consist of nothing else. */
  override int64(): string {
    this.#whole.value = this.#varint64();
    return this.#whole as unknown as string;
  }

  #varint64(): number {
    // Bits 0 to 27, 28 to 55, and 56 to 63.
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let at = 0; at < VARINT_BYTES_MAX; at += 1) {
      const byte = this.bytesOf[this.pos];
      if (byte === undefined) throw new RangeError('premature EOF');
      this.pos += 1;
      const bits = byte & 0x7f;
      if (at < 4) low |= bits << (7 * at);
      else if (at < 8) middle |= bits << (7 * (at - 4));
      else high |= (bits << (7 * (at - 8))) & 0xff;
      if (byte < 0x80) return numberOf(low, middle, high);
    }
    throw new Error('invalid varint');
  }
}

const plainUint32 = new BinaryReader(new Uint8Array()).uint32 as (this: BinaryReader) => number;

function countedUint32(this: StrictReader): number {
  this.partsLeft -= 1;
  if (this.partsLeft < 0) throw new Error(`more than ${this.partsMax} tags and lengths`);
  return plainUint32.call(this);
}

const VARINT_BYTES_MAX = 10;
const LOW = 2 ** 28;
/** With 28 lower bits, this many make 2^53. */
const MIDDLE_MAX = 2 ** 25;

/** Two's complement: for a negative number, all bits are inverted. */
function numberOf(low: number, middle: number, high: number): number {
  if (high < 0x80) return high === 0 && middle < MIDDLE_MAX ? middle * LOW + low : Number.NaN;
  const [least, rest] = [~low & (LOW - 1), ~middle & (LOW - 1)];
  const value = -(rest * LOW + least) - 1;
  return high === 0xff && rest < MIDDLE_MAX && value >= Number.MIN_SAFE_INTEGER ? value : Number.NaN;
}

/** Its text, or {@link NOT_UTF8}. */
export function utf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) return NOT_UTF8;
  // Not a TextDecoder, because that drops a leading byte order mark.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The part of a generated message type that is used here. */
export interface MessageType<Message> {
  decode(reader: BinaryReader): Message;
}

export function decodeStrictly<Message>(
  type: MessageType<Message>,
  bytes: Uint8Array,
  partsMax = PARTS_MAX,
): Decoded<Message> {
  try {
    const reader = new StrictReader(bytes, partsMax);
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
  decode: (bytes: Uint8Array) => Decoded<Request>,
): MethodDefinition<Decoded<Request>, Response> {
  return {
    ...method,
    requestSerialize: () => {
      throw new Error('a server sends no requests');
    },
    requestDeserialize: decode,
  };
}
