import { setNewest } from './bounded-map.js';

/** At most this many namespaces have a waiting sample. The oldest one is dropped first: its namespace is not read. */
const NAMESPACES_MAX = 1_024;

/**
 * How long the last rebuild of each namespace took, until the next read of the namespace takes it along to the store.
 * It only sizes the first lease of a new key. So it needs no request of its own, and one sample is enough.
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
