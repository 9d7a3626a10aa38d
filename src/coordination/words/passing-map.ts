/** At least this many are deleted before the rest moves to a new map. */
const DELETED_MIN = 256;

/**
 * A map for what comes and goes quickly, such as the calls of the moment.
 *
 * V8 replaces the table of a Map that has filled up with deleted entries, and the old table points to the new one. As
 * soon as one table is in the old generation, everything that later tables ever held counts as reachable and is moved
 * there too, until a full collection. With a Map, this was a tenth of the CPU of a cold cycle. So what is left here
 * moves to a new Map before a table is old.
 */
export class PassingMap<K, V> {
  #map = new Map<K, V>();
  #deleted = 0;

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  /** A key that is there keeps its place in the order. */
  set(key: K, value: V): void {
    this.#map.set(key, value);
  }

  /** False if it was not there. */
  delete(key: K): boolean {
    if (!this.#map.delete(key)) return false;
    this.#deleted += 1;
    // Moving the rest costs less than the deletions did.
    if (this.#deleted >= Math.max(DELETED_MIN, 2 * this.#map.size)) {
      this.#deleted = 0;
      this.#map = new Map(this.#map);
    }
    return true;
  }

  /** What came first. */
  get oldest(): V | undefined {
    return this.#map.values().next().value;
  }

  /** Everything that is there now, in order of arrival. */
  values(): V[] {
    return [...this.#map.values()];
  }
}
