import type { Clock } from '../coordination/ports/clock.js';
import { CoordinationError } from '../coordination/words/errors.js';

interface Bucket {
  left: number;
  atMs: number;
}

/** The remaining calls of each identity: a bucket that refills in a second, so a burst is one second's calls. */
export class Rates {
  readonly #buckets = new Map<string, Bucket>();

  constructor(private readonly clock: Pick<Clock, 'nowMs'>) {}

  /**
   * Throws `exhausted`, with the time to retry, unless a call is left. A call that counts as many takes them all at
   * once, and later callers wait until the bucket has recovered. Otherwise such a call could never be made.
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
      throw new CoordinationError('exhausted', `identity ${name} exceeds ${bound}`, retryAfterMs);
    }
    bucket.left -= calls;
  }

  /** Identities that no longer exist. */
  keepOnly(names: { has(name: string): boolean }): void {
    for (const name of this.#buckets.keys()) if (!names.has(name)) this.#buckets.delete(name);
  }
}
