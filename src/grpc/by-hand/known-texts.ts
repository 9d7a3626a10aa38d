/** A power of two. */
const SLOTS = 4_096;
/** A longer text takes as long to compare as to decode. */
const BYTES_MAX = 64;
const ASCII_MAX = 0x7f;
/** Of the hash FNV-1a, of 32 bits. */
const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/** Recent short strings by their bytes: most strings repeat. Only ASCII, so one byte is one character. */
export class KnownTexts {
  readonly #texts: (string | undefined)[] = new Array(SLOTS).fill(undefined);

  /** The string for these bytes, if it is known. Otherwise calls `read` and remembers its result. */
  of(bytes: Uint8Array, start: number, end: number, read: (bytes: Uint8Array) => string): string {
    const length = end - start;
    if (length > BYTES_MAX) return read(bytes.subarray(start, end));
    let hash = OFFSET;
    let bits = 0;
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at] as number;
      bits |= byte;
      hash = Math.imul(hash ^ byte, PRIME);
    }
    if (bits > ASCII_MAX) return read(bytes.subarray(start, end));
    // The low bits of the product depend on few bits of each byte.
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#texts[slot];
    if (known !== undefined && known.length === length && isSame(known, bytes, start)) return known;
    const text = read(bytes.subarray(start, end));
    this.#texts[slot] = text;
    return text;
  }
}

function isSame(text: string, bytes: Uint8Array, start: number): boolean {
  for (let at = 0; at < text.length; at += 1) {
    if (text.charCodeAt(at) !== bytes[start + at]) return false;
  }
  return true;
}
