import { setNewest } from '../coordination/reading/bounded-map.js';

/** Of a namespace whose values nobody has seen: a read for small values moves no large one, and tells its size. */
const UNKNOWN_BYTES = 512;
/** Namespaces that are remembered. One that is forgotten begins anew. */
const NAMESPACES_MAX = 256;
const GAIN = 1 / 8;

/**
 * How many bytes the next read of a namespace may bring. It rises at once to the largest value that came, for others of
 * the same burst may be as large, and falls slowly to the mean of those that come.
 */
export class ReadSizes {
  readonly #bytes = new Map<string, number>();

  expected(namespace: string): number {
    return this.#bytes.get(namespace) ?? UNKNOWN_BYTES;
  }

  /** A read came back with so many bytes; undefined if it found no value, which says nothing of those that it will find. */
  came(namespace: string, bytes: number | undefined): void {
    if (bytes === undefined) return;
    const before = this.#bytes.get(namespace);
    const size = before === undefined ? bytes : Math.max(bytes, before + GAIN * (bytes - before));
    setNewest(this.#bytes, namespace, size, NAMESPACES_MAX);
  }
}
