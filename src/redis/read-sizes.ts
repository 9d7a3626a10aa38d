import { setNewest } from '../coordination/reading/bounded-map.js';

/** The largest value by default: the first reads of a namespace go few at a time, until one has come back. */
const UNKNOWN_BYTES = 1_048_576;
/** Where reads have found nothing so far: many at a time, for each is followed by a vote, and not all at once. */
const EMPTY_BYTES = 262_144;
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
    const before = this.#bytes.get(namespace);
    const found = bytes ?? before ?? EMPTY_BYTES;
    const size = before === undefined ? found : Math.max(found, before + GAIN * (found - before));
    setNewest(this.#bytes, namespace, size, NAMESPACES_MAX);
  }
}
