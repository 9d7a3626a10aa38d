/** Counts by two labels. Adding hashes two short strings, and creates nothing. */
export class PairCounts {
  readonly #counts = new Map<string, Map<string, number>>();

  add(of: string, by: string): void {
    let counts = this.#counts.get(of);
    if (counts === undefined) {
      counts = new Map();
      this.#counts.set(of, counts);
    }
    counts.set(by, (counts.get(by) ?? 0) + 1);
  }

  each(told: (of: string, by: string, count: number) => void): void {
    for (const [of, counts] of this.#counts) for (const [by, count] of counts) told(of, by, count);
  }
}
