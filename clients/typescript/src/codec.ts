import { types } from 'node:util';
import { jsonFault } from './json-fault.js';
import { asBuffer } from './outcomes.js';

/** Encodes values as bytes and decodes them. `Given` is the type that `encode` accepts, if it accepts more than `T`. */
export interface Codec<T, Given = T> {
  encode(value: Given): Uint8Array;
  decode(bytes: Buffer): T;
  /**
   * True: what `decode` returns does not refer to the bytes. Otherwise each caller of a shared call gets a copy of
   * them.
   */
  readonly isDetached?: boolean;
}

/** Checks the codec's output. Anything but bytes could not be sent, after the source has answered. */
export function encodedBy<Given>(codec: Codec<unknown, Given>, value: Given): Uint8Array {
  const bytes: unknown = codec.encode(value);
  if (types.isUint8Array(bytes)) return bytes;
  throw new TypeError("the codec's encode returned no bytes: return a Uint8Array");
}

/**
 * JSON in UTF-8: the default for values. Parts that JSON would not bring back unchanged are an error that names their
 * path, before anything is stored: `undefined`, `NaN`, `Infinity`, a bigint, a function, a symbol, bytes, a Map or a
 * Set. Objects with a `toJSON`, such as a Date, are stored and read in that form.
 */
export function json<T>(): Codec<T> {
  return JSON_CODEC as Codec<T>;
}

const JSON_CODEC: Codec<unknown> = {
  encode(value) {
    const fault = jsonFault(value);
    if (fault !== undefined) throw new TypeError(fault);
    return Buffer.from(JSON.stringify(value));
  },
  decode: (bytes) => JSON.parse(bytes.toString('utf8')),
  isDetached: true,
};

/** For values that are bytes. They are stored unchanged, and read as a Buffer. */
export function bytes(): Codec<Buffer, Uint8Array> {
  return BYTES_CODEC;
}

const BYTES_CODEC: Codec<Buffer, Uint8Array> = {
  encode(value) {
    if (types.isUint8Array(value)) return value;
    throw new TypeError('the value is not a Uint8Array, which the codec bytes() stores');
  },
  decode: (bytes) => bytes,
};

/** The value for one caller; null stays null. */
export function decoded<T>(
  codec: Pick<Codec<T>, 'decode' | 'isDetached'>,
  bytes: Uint8Array | null,
  isShared: boolean,
): T | null {
  if (bytes === null) return null;
  // A copy, so that no caller sees what another does with its bytes.
  return codec.decode(isShared && codec.isDetached !== true ? Buffer.from(bytes) : asBuffer(bytes));
}

/** A value that was published in another format counts as none: the rebuild replaces it. */
export function readable<T>(
  codec: Pick<Codec<T>, 'decode'>,
  previous: Buffer | null | undefined,
): T | null | undefined {
  if (previous === undefined || previous === null) return previous;
  try {
    return codec.decode(previous);
  } catch {
    return undefined;
  }
}

/** Whether a codec can read the bytes; null is a value that the source does not have. */
export type Reads = (bytes: Buffer | null) => boolean;

export function readsBy(codec: Pick<Codec<unknown>, 'decode'>): Reads {
  return (bytes) => {
    try {
      // A copy, because the bytes may go to a caller.
      if (bytes !== null) codec.decode(Buffer.from(bytes));
      return true;
    } catch {
      return false;
    }
  };
}
