/**
 * Counts of the last `seconds` seconds. Counting is one addition. Once a second the totals are copied into a ring. The
 * count of a period is the difference of two copies.
 */
export class RecentCounts<Name extends string> {
  readonly #columns: ReadonlyMap<Name, number>;
  readonly #totals: Float64Array;
  /** The totals at the end of each second. */
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

  /** The count in the last `seconds` complete seconds. */
  over(name: Name, seconds: number): number {
    return this.#stood(name, 0) - this.#stood(name, Math.min(seconds, this.seconds));
  }

  /** The mean per second over the last `seconds` complete seconds, or fewer after a start. */
  perSecond(name: Name, seconds: number): number {
    return this.over(name, seconds) / Math.max(1, Math.min(seconds, this.seconds, this.#ended));
  }

  /** The count in the second that is `ago` seconds older than the last complete one. */
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
