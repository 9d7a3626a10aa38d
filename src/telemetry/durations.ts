/** A bucket is an eighth of an octave, so a value read from it is at most 5 % off. */
const PER_OCTAVE = 8;
const MS_MIN = 0.05;
/** Up to an hour, the longest possible wait. */
const BUCKETS = Math.ceil(Math.log2(3_600_000 / MS_MIN)) * PER_OCTAVE;

/** Durations of one kind, kept as counts per bucket. */
export class Durations {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(ms: number): void {
    const bucket = Math.floor(Math.log2(Math.max(ms, MS_MIN) / MS_MIN) * PER_OCTAVE);
    const at = Math.min(bucket, BUCKETS - 1);
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1;
    this.#count += 1;
  }

  addAll(other: Durations): void {
    for (const [at, count] of other.#buckets.entries()) {
      if (count > 0) this.#buckets[at] = (this.#buckets[at] ?? 0) + count;
    }
    this.#count += other.#count;
  }

  /** The smallest duration that at least `share` (0 to 1) of them do not exceed; undefined if there are none. */
  percentileMs(share: number): number | undefined {
    let left = Math.max(1, Math.ceil(share * this.#count));
    for (const [at, count] of this.#buckets.entries()) {
      left -= count;
      // The middle of the bucket.
      if (left <= 0) return MS_MIN * 2 ** ((at + 0.5) / PER_OCTAVE);
    }
    return undefined;
  }

  clear(): void {
    this.#buckets.fill(0);
    this.#count = 0;
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
