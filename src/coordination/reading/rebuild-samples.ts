import { setNewest } from './bounded-map.js';

/** So many namespaces have a sample that waits. Of more, the one that has waited for longest is dropped: nobody reads its namespace. */
const NAMESPACES_MAX = 1_024;

/**
 * How long the last rebuild of each namespace took, until the next read of the namespace takes it along to the store.
 * It only sizes the first lease of a new key, so that it needs no request of its own, and one sample is enough.
 */
export class RebuildSamples {
  readonly #tookMs = new Map<string, number>();

  add(namespace: string, tookMs: number): void {
    setNewest(this.#tookMs, namespace, tookMs, NAMESPACES_MAX);
  }

  /** The sample, once; undefined if there is none. */
  remove(namespace: string): number | undefined {
    const tookMs = this.#tookMs.get(namespace);
    this.#tookMs.delete(namespace);
    return tookMs;
  }
}
