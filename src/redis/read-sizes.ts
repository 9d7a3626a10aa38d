import { setNewest } from '../coordination/reading/bounded-map.js';

/**
 * For a namespace whose values are not known yet: a read for small values does not transfer a large one, and returns
 * its size.
 */
const UNKNOWN_BYTES = 512;
/** The number of namespaces remembered. A forgotten one starts again. */
const NAMESPACES_MAX = 256;
const GAIN = 1 / 8;

/**
 * How many bytes the next read of a namespace may transfer. Rises at once to the largest value that came, because
 * others of the same burst may be as large, and falls slowly to the mean.
 */
export class ReadSizes {
  readonly #bytes = new Map<string, number>();

  expected(namespace: string): number {
    return this.#bytes.get(namespace) ?? UNKNOWN_BYTES;
  }

  /** The size that a read transferred; undefined if it found no value, which tells nothing about later ones. */
  came(namespace: string, bytes: number | undefined): void {
    if (bytes === undefined) return;
    const before = this.#bytes.get(namespace);
    const size = before === undefined ? bytes : Math.max(bytes, before + GAIN * (bytes - before));
    setNewest(this.#bytes, namespace, size, NAMESPACES_MAX);
  }
}
