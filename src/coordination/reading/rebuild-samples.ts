/** So many namespaces have a sample that waits. Of more, the one that has waited for longest is dropped: nobody reads its namespace. */
const NAMESPACES_MAX = 1_024;

/**
 * How long the last rebuild of each namespace took, until the next read of the namespace takes it along to the store.
 * It only sizes the first lease of a new key, so that it needs no request of its own, and one sample is enough.
 */
export class RebuildSamples {
  readonly #tookMs = new Map<string, number>();

  add(namespace: string, tookMs: number): void {
    this.#tookMs.delete(namespace);
    for (const oldest of this.#tookMs.keys()) {
      if (this.#tookMs.size < NAMESPACES_MAX) break;
      this.#tookMs.delete(oldest);
    }
    this.#tookMs.set(namespace, tookMs);
  }

  /** The sample, once; undefined if there is none. */
  remove(namespace: string): number | undefined {
    const tookMs = this.#tookMs.get(namespace);
    this.#tookMs.delete(namespace);
    return tookMs;
  }
}
