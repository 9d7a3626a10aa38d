import { percentile } from '../support/percentile.js';

/** What one way to do something took, over many rounds. */
export interface Measured {
  readonly name: string;
  readonly rounds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A measurement beside its alternative, which does the same work in the same run. */
export interface Row {
  readonly measured: Measured;
  readonly alternative: Measured;
  /** Of the medians: below 1, ours is the faster. */
  readonly ratio: number;
  /** What the ratio is to stay at or below; absent where there is no promise. */
  readonly ratioMax?: number;
  /** What else is to be known of it. */
  readonly facts?: readonly string[];
}

/** How often something is done, and what each time costs. */
export interface Rate {
  readonly name: string;
  readonly perSecond: number;
  /** Microseconds of CPU each time, of the client and of the server that answers it. */
  readonly clientUs: number;
  readonly serverUs: number;
}

/** A rate beside its alternative, which does the same work in the same run. */
export interface RateRow {
  readonly title: string;
  readonly measured: Rate;
  readonly alternative: Rate;
  /** How many times as often ours is to be done at least; absent where there is no promise. */
  readonly ratioMin?: number;
}

/** One subject. `main.ts` runs them in turn; each starts what it needs and ends it. */
export interface Bench {
  readonly name: string;
  run(): Promise<readonly (Row | RateRow)[]>;
}

export function measured(name: string, tookMs: readonly number[]): Measured {
  return { name, rounds: tookMs.length, p50Ms: percentile(tookMs, 0.5), p99Ms: percentile(tookMs, 0.99) };
}

export function row(ours: Measured, alternative: Measured, ratioMax?: number): Row {
  const ratio = ours.p50Ms / alternative.p50Ms;
  return { measured: ours, alternative, ratio, ...(ratioMax === undefined ? {} : { ratioMax }) };
}
