import { types } from 'node:util';
import { jsonFault } from './json-fault.js';
import { asBuffer } from './outcomes.js';

/** How values become bytes and come back. `Given` is what it also takes, beside what it gives. */
export interface Codec<T, Given = T> {
  encode(value: Given): Uint8Array;
  decode(bytes: Buffer): T;
  /** What `decode` returns has no part in the bytes. Else each caller of a shared call gets a copy of them. */
  readonly isDetached?: boolean;
}

/** Checks what a codec made: anything but bytes could not be sent, after the source has answered. */
export function encodedBy<Given>(codec: Codec<unknown, Given>, value: Given): Uint8Array {
  const bytes: unknown = codec.encode(value);
  if (types.isUint8Array(bytes)) return bytes;
  throw new TypeError("the codec's encode returned no bytes: return a Uint8Array");
}

/**
 * JSON in UTF-8, which is how values are stored unless a call names another codec. What would not come back as it was
 * is an error that names its path, before anything is stored: `undefined`, `NaN`, `Infinity`, a bigint, a function, a
 * symbol, bytes, a Map or a Set. What has a `toJSON`, such as a Date, is stored and comes back as that makes it.
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

/** Values that are bytes already. They are stored as they are, and come back as a Buffer. */
export function bytes(): Codec<Buffer, Uint8Array> {
  return BYTES_CODEC;
}

const BYTES_CODEC: Codec<Buffer, Uint8Array> = {
  encode(value) {
    if (types.isUint8Array(value)) return value;
    throw new TypeError('the value is no Uint8Array, which the codec bytes() stores');
  },
  decode: (bytes) => bytes,
};

/** What one caller gets of bytes; null stays null. */
export function decoded<T>(
  codec: Pick<Codec<T>, 'decode' | 'isDetached'>,
  bytes: Uint8Array | null,
  isShared: boolean,
): T | null {
  if (bytes === null) return null;
  // What one caller does with its bytes is not seen by another.
  return codec.decode(isShared && codec.isDetached !== true ? Buffer.from(bytes) : asBuffer(bytes));
}

/** A value that was published in another format is as good as none: the rebuild replaces it. */
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
