import { percentile } from '../support/percentile.js';

/** How long one way to do something took, over many rounds. */
export interface Measured {
  readonly name: string;
  readonly rounds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A measurement and its alternative, which does the same work in the same run. */
export interface Row {
  readonly kind: 'times';
  readonly measured: Measured;
  readonly alternative: Measured;
  /** What is compared, such as `medians`. */
  readonly of: string;
  /** Below 1, ours is faster. */
  readonly ratio: number;
  /** The bound of the ratio; absent if nothing is promised. */
  readonly ratioMax?: number | undefined;
  /** Additional lines to print. */
  readonly facts?: readonly string[] | undefined;
}

/** How often something is done, and the cost of each time. */
export interface Rate {
  readonly name: string;
  readonly perSecond: number;
  /** Of the slowest and of the fastest round. */
  readonly spread?: readonly [slowest: number, fastest: number];
  /** The CPU time of each, in microseconds, of the client and of the server that answers it. */
  readonly clientUs: number;
  readonly serverUs: number;
}

/** A rate and its alternative, which does the same work in the same run. */
export interface RateRow {
  readonly kind: 'rates';
  readonly title: string;
  readonly measured: Rate;
  readonly alternative: Rate;
  /** The lowest ratio promised; absent if nothing is promised. */
  readonly ratioMin?: number | undefined;
}

/** A figure without an alternative, with its bound. */
export interface BoundRow {
  readonly kind: 'bound';
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly max?: number | undefined;
  readonly facts?: readonly string[] | undefined;
}

export type AnyRow = Row | RateRow | BoundRow;

/** One subject. `main.ts` runs them in turn. Each starts what it needs and stops it. */
export interface Bench {
  readonly name: string;
  run(): Promise<readonly AnyRow[]>;
}

/** The settings of the image and `npm start`. */
export const AS_SHIPPED = { NODE_OPTIONS: '--max-semi-space-size=64' };

export function measured(name: string, tookMs: readonly number[]): Measured {
  return { name, rounds: tookMs.length, p50Ms: percentile(tookMs, 0.5), p99Ms: percentile(tookMs, 0.99) };
}

interface Compared {
  readonly ratioMax?: number | undefined;
  readonly by?: 'medians' | 'p99' | undefined;
  /** Subtracted from both, because it is the same for both: for example the rebuild. */
  readonly lessMs?: number | undefined;
  readonly facts?: readonly string[] | undefined;
}

export function row(
  ours: Measured,
  alternative: Measured,
  { ratioMax, by = 'medians', lessMs = 0, facts }: Compared = {},
): Row {
  const of = (it: Measured) => (by === 'medians' ? it.p50Ms : it.p99Ms) - lessMs;
  return {
    kind: 'times',
    measured: ours,
    alternative,
    of: lessMs === 0 ? by : `${by} less ${lessMs} ms`,
    ratio: of(ours) / of(alternative),
    ratioMax,
    facts,
  };
}
