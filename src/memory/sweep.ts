/** How many entries each step checks. A step adds at most one, so the sweep goes round faster than the map grows. */
const ENTRIES_A_STEP = 4;

/** Drops expired entries from a map, a few at a time and without a timer. */
export class Sweep<V> {
  #cursor: MapIterator<[string, V]> | undefined;

  constructor(
    private readonly entries: Map<string, V>,
    /** What is left of an entry; undefined if it has expired. */
    private readonly leftOf: (entry: V, nowMs: number) => V | undefined,
  ) {}

  /** Looks at the next few entries. A map's iterator stays valid while entries are added and deleted. */
  some(nowMs: number): void {
    this.#cursor ??= this.entries.entries();
    for (let looked = 0; looked < ENTRIES_A_STEP; looked++) {
      const next = this.#cursor.next();
      if (next.done) {
        this.#cursor = undefined;
        return;
      }
      const [id, entry] = next.value;
      const left = this.leftOf(entry, nowMs);
      if (left === undefined) this.entries.delete(id);
      else if (left !== entry) this.entries.set(id, left);
    }
  }
}
