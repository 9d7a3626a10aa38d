/** The largest value by default: the first reads of a namespace go few at a time, until one has come back. */
const UNKNOWN_BYTES = 1_048_576;
/** Namespaces that are remembered. One that is forgotten begins anew. */
const NAMESPACES_MAX = 256;
/** The mean follows its last eight or so. */
const GAIN = 1 / 8;

/** How many bytes a read of a namespace brings: the running mean of those that came. */
export class ReadSizes {
  readonly #means = new Map<string, number>();

  expected(namespace: string): number {
    return this.#means.get(namespace) ?? UNKNOWN_BYTES;
  }

  came(namespace: string, bytes: number): void {
    const mean = this.#means.get(namespace);
    // The order of the map is the order of use.
    this.#means.delete(namespace);
    this.#means.set(namespace, mean === undefined ? bytes : mean + GAIN * (bytes - mean));
    for (const oldest of this.#means.keys()) {
      if (this.#means.size <= NAMESPACES_MAX) break;
      this.#means.delete(oldest);
    }
  }
}
