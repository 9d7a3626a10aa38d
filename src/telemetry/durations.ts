import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** The histogram needs whole numbers, so it counts microseconds. */
const US_PER_MS = 1_000;
/** The longest possible wait. */
const MS_MAX = 3_600_000;
const OPTIONS = {
  lowest: 1,
  // Above the longest wait, so that longer durations are distinguishable.
  highest: 2 * MS_MAX * US_PER_MS,
  // At most 1 % off. With one figure it would be 6 %, and the pages show two digits.
  figures: 2,
};

/** Durations of one kind, kept as counts. */
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

  /** The smallest duration that at least `share` (0 to 1) of them do not exceed; undefined if there are none. */
  percentileMs(share: number): number | undefined {
    const histogram = this.#histogram;
    if (histogram.count === 0) return undefined;
    return (share > 0 ? histogram.percentile(share * 100) : histogram.min) / US_PER_MS;
  }

  clear(): void {
    this.#histogram.reset();
  }
}

/** The durations of the last `parts` periods. The owner says when a period ends. */
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

  /** Drops the oldest period and begins a new one. */
  endPart(): void {
    this.#at = (this.#at + 1) % this.#parts.length;
    this.#parts[this.#at]?.clear();
  }

  /** All periods together. */
  sum(): Durations {
    const sum = new Durations();
    for (const part of this.#parts) if (part !== undefined && part.count > 0) sum.addAll(part);
    return sum;
  }
}
