/** Counts by two labels. Adding hashes two short strings, and creates nothing. */
export class PairCounts {
  readonly #counts = new Map<string, Map<string, number>>();

  /** `count` 0 makes the pair known, so that its first event is an increase. */
  add(of: string, by: string, count = 1): void {
    let counts = this.#counts.get(of);
    if (counts === undefined) {
      counts = new Map();
      this.#counts.set(of, counts);
    }
    counts.set(by, (counts.get(by) ?? 0) + count);
  }

  each(told: (of: string, by: string, count: number) => void): void {
    for (const [of, counts] of this.#counts) for (const [by, count] of counts) told(of, by, count);
  }
}
