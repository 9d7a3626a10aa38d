import type { Clock } from '../coordination/clock.js';
import { CoordinationError } from '../coordination/errors.js';

interface Bucket {
  left: number;
  atMs: number;
}

/** How many calls each identity has left: a bucket that a second fills, so that a burst is a second's worth. */
export class Rates {
  readonly #buckets = new Map<string, Bucket>();

  constructor(private readonly clock: Pick<Clock, 'nowMs'>) {}

  /**
   * Throws `exhausted`, with when to come back, unless there is one left. A call that counts for many takes
   * them all, and those who come next wait until that is made up for: else it could never be made.
   */
  spend(name: string, perSecond: number, calls: number): void {
    if (perSecond === Number.POSITIVE_INFINITY) return;
    const nowMs = this.clock.nowMs();
    const bucket = this.#buckets.get(name) ?? { left: perSecond, atMs: nowMs };
    this.#buckets.set(name, bucket);
    bucket.left = Math.min(perSecond, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    if (bucket.left < 1) {
      const retryAfterMs = Math.ceil(((1 - bucket.left) / perSecond) * 1000);
      const bound = `${perSecond} calls a second (calls_per_second in DIBS_AUTH_FILE)`;
      throw new CoordinationError('exhausted', `identity ${name} makes more than ${bound}`, retryAfterMs);
    }
    bucket.left -= calls;
  }

  /** Those that are no identity any more. */
  keepOnly(names: { has(name: string): boolean }): void {
    for (const name of this.#buckets.keys()) if (!names.has(name)) this.#buckets.delete(name);
  }
}
