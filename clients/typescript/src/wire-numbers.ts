import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';

/** Seven bits in each byte. Fences have eight bytes. */
const VARINT_BYTES_MAX = 8;

/** A number in the one form that the generated code accepts. That code asks for its text, and converts that. */
class Whole {
  value = 0;

  /** The number itself, because its text would cost more than the rest of the field. */
  toString(): string {
    return this.value as unknown as string;
  }
}

/** Reads the usual numbers without a BigInt and a text for each. */
export class NumberReader extends BinaryReader {
  readonly #whole = new Whole();

  constructor(private readonly bytesOf: Uint8Array) {
    super(bytesOf);
  }

  override int64(): bigint | string {
    let value = 0;
    let factor = 1;
    for (let at = 0; at < VARINT_BYTES_MAX; at += 1) {
      const byte = this.bytesOf[this.pos + at];
      if (byte === undefined) break;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        // With eight bytes, the sum may be one that a number does not hold.
        if (value > Number.MAX_SAFE_INTEGER) break;
        this.pos += at + 1;
        this.#whole.value = value;
        return this.#whole as unknown as string;
      }
      factor *= 0x80;
    }
    return super.int64();
  }
}

const UINT32_MAX = 0xffff_ffff;

/** Writes the usual numbers without a BigInt for each. */
export class NumberWriter extends BinaryWriter {
  override int64(value: string | number | bigint): this {
    if (typeof value === 'number' && value >= 0 && value <= UINT32_MAX) return this.uint32(value);
    return super.int64(value);
  }
}
