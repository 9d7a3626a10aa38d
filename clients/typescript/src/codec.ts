import { types } from 'node:util';
import { asBuffer } from './outcomes.js';

/** How values become bytes and come back. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Buffer): T;
  /** What `decode` returns has no part in the bytes. Else each caller of a shared call gets a copy of them. */
  readonly isDetached?: boolean;
}

/** Checks what a codec made: anything but bytes could not be sent, after the source has answered. */
export function encodedBy<T>(codec: Codec<T>, value: T): Uint8Array {
  const bytes: unknown = codec.encode(value);
  if (types.isUint8Array(bytes)) return bytes;
  throw new TypeError("the codec's encode returned no bytes: return a Uint8Array");
}

/** JSON in UTF-8. What `JSON.stringify` drops, such as `undefined` and functions, is dropped. */
export function json<T>(): Codec<T> {
  return {
    encode: (value) => {
      const text = JSON.stringify(value);
      // A function or a symbol.
      if (text === undefined) throw new TypeError(`JSON has no form for a value of type ${typeof value}`);
      return Buffer.from(text);
    },
    decode: (bytes) => JSON.parse(bytes.toString('utf8')) as T,
    isDetached: true,
  };
}

/** Values that are bytes already. */
export const BYTES: Codec<Uint8Array> = {
  encode(value) {
    if (types.isUint8Array(value)) return value;
    throw new TypeError(
      'the rebuild returned no bytes: return a Uint8Array, or null for nothing, or give a codec',
    );
  },
  decode: (bytes) => bytes,
};

/** What one caller gets of bytes; null stays null. */
export function decoded<T>(codec: Codec<T>, bytes: Uint8Array | null, isShared: boolean): T | null {
  if (bytes === null) return null;
  // What one caller does with its bytes is not seen by another.
  return codec.decode(isShared && codec.isDetached !== true ? Buffer.from(bytes) : asBuffer(bytes));
}

/** A value that was published in another format is as good as none: the rebuild replaces it. */
export function readable<T>(codec: Codec<T>, previous: Buffer | null | undefined): T | null | undefined {
  if (previous === undefined || previous === null) return previous;
  try {
    return codec.decode(previous);
  } catch {
    return undefined;
  }
}
