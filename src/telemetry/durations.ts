import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** The histogram takes whole numbers, and these are microseconds. */
const US_PER_MS = 1_000;
/** The longest wait that can be set. */
const MS_MAX = 3_600_000;
const OPTIONS = {
  lowest: 1,
  // Beyond the longest wait, so that what took longer still than that is told from it.
  highest: 2 * MS_MAX * US_PER_MS,
  // What is read is at most 1 % off; with one figure it would be 6 %, where a page shows two.
  figures: 2,
};

/** How long something took, again and again: only counts are kept. */
export class Durations {
  readonly #histogram: RecordableHistogram = createHistogram(OPTIONS);

  get count(): number {
    return this.#histogram.count;
  }

  add(ms: number): void {
    this.#histogram.record(Math.min(Math.max(1, Math.round(ms * US_PER_MS)), OPTIONS.highest));
  }

  addAll(other: Durations): void {
    this.#histogram.add(other.#histogram);
  }

  /** The smallest that at least `share` (0 to 1) of them do not exceed; undefined of none. */
  percentileMs(share: number): number | undefined {
    const histogram = this.#histogram;
    if (histogram.count === 0) return undefined;
    return (share > 0 ? histogram.percentile(share * 100) : histogram.min) / US_PER_MS;
  }

  clear(): void {
    this.#histogram.reset();
  }
}

/** The durations of the last `parts` stretches of time; whoever keeps it says when one ends. */
export class RecentDurations {
  readonly #parts: (Durations | undefined)[];
  #at = 0;

  constructor(parts: number) {
    this.#parts = Array.from({ length: parts });
  }

  add(ms: number): void {
    const part = this.#parts[this.#at] ?? new Durations();
    this.#parts[this.#at] = part;
    part.add(ms);
  }

  /** The oldest part is forgotten, and a new one begins. */
  endPart(): void {
    this.#at = (this.#at + 1) % this.#parts.length;
    this.#parts[this.#at]?.clear();
  }

  /** All of them together. */
  sum(): Durations {
    const sum = new Durations();
    for (const part of this.#parts) if (part !== undefined && part.count > 0) sum.addAll(part);
    return sum;
  }
}
