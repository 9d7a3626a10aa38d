/**
 * Counts of the last `seconds` seconds. Counting is one addition; once a second the totals are copied into a
 * ring, and what happened in a while is the difference of two copies.
 */
export class RecentCounts<Name extends string> {
  readonly #columns: ReadonlyMap<Name, number>;
  readonly #totals: Float64Array;
  /** The totals as they stood at the end of each second. */
  readonly #ring: Float64Array;
  #ended = 0;

  constructor(
    names: readonly Name[],
    private readonly seconds: number,
  ) {
    this.#columns = new Map(names.map((name, column) => [name, column]));
    this.#totals = new Float64Array(names.length);
    this.#ring = new Float64Array(names.length * (seconds + 1));
  }

  add(name: Name, count = 1): void {
    const column = this.#columns.get(name);
    if (column !== undefined) this.#totals[column] = (this.#totals[column] ?? 0) + count;
  }

  endSecond(): void {
    this.#ended += 1;
    this.#ring.set(this.#totals, this.#rowOf(this.#ended) * this.#totals.length);
  }

  total(name: Name): number {
    return this.#totals[this.#columns.get(name) ?? 0] ?? 0;
  }

  /** In the last `seconds` seconds that are over. */
  over(name: Name, seconds: number): number {
    return this.#stood(name, 0) - this.#stood(name, Math.min(seconds, this.seconds));
  }

  /** The mean of the last `seconds` seconds that are over, or of as many as there have been. */
  perSecond(name: Name, seconds: number): number {
    return this.over(name, seconds) / Math.max(1, Math.min(seconds, this.seconds, this.#ended));
  }

  /** In the one second that is `ago` seconds older than the last one that is over. */
  within(name: Name, ago: number): number {
    return this.#stood(name, ago) - this.#stood(name, ago + 1);
  }

  /** The total at the end of the second that is `ago` seconds older than the last one. */
  #stood(name: Name, ago: number): number {
    if (ago >= this.#ended) return 0;
    const row = this.#rowOf(this.#ended - ago);
    return this.#ring[row * this.#totals.length + (this.#columns.get(name) ?? 0)] ?? 0;
  }

  #rowOf(second: number): number {
    return second % (this.seconds + 1);
  }
}
