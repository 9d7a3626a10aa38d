import type { Clock } from '../../coordination/ports/clock.js';

/** Refused calls that an address may have at once, and then each second. A refused call costs about 0.1 ms. */
const BURST = 300;
const PER_SECOND = 200;
/** An address that has used them up gets none until it has recovered this many. */
const RECOVERED = 150;
/** New connections each second of such an address. Each may cost as much as one piece: some 75 streams. */
const CONNECTIONS_PER_SECOND = 5;

interface Bucket {
  left: number;
  isUsedUp: boolean;
  /** Until it may have all of them again. */
  wasUsedUp: boolean;
  connections: number;
  atMs: number;
}

/** Refused calls cost the address that they come from, because they have no other name. */
export class Refusals {
  readonly #buckets = new Map<string, Bucket>();

  constructor(private readonly clock: Pick<Clock, 'nowMs'>) {}

  /** Counts a refused call. False if the address has had too many: cut its connection. */
  count(peer: string): boolean {
    let bucket = this.#of(peer);
    if (bucket === undefined) {
      bucket = {
        left: BURST,
        isUsedUp: false,
        wasUsedUp: false,
        connections: CONNECTIONS_PER_SECOND,
        atMs: this.clock.nowMs(),
      };
      this.#buckets.set(peer, bucket);
    }
    bucket.isUsedUp ||= bucket.left < 1;
    bucket.wasUsedUp ||= bucket.isUsedUp;
    if (bucket.isUsedUp) return false;
    bucket.left -= 1;
    return true;
  }

  /**
   * Whether the address has had too many, and has not recovered all of them. A flood that goes on uses up what has
   * recovered every few seconds.
   */
  isSuspect(peer: string): boolean {
    return this.#of(peer)?.wasUsedUp === true;
  }

  /** Whether a new connection of the address may come now. */
  mayConnect(peer: string): boolean {
    const bucket = this.#of(peer);
    if (bucket === undefined || !bucket.isUsedUp) return true;
    if (bucket.connections < 1) return false;
    bucket.connections -= 1;
    return true;
  }

  /** Addresses that have recovered. */
  sweep(): void {
    for (const peer of this.#buckets.keys()) if (this.#of(peer)?.left === BURST) this.#buckets.delete(peer);
  }

  #of(peer: string): Bucket | undefined {
    const bucket = this.#buckets.get(peer);
    if (bucket === undefined) return undefined;
    const nowMs = this.clock.nowMs();
    const seconds = (nowMs - bucket.atMs) / 1_000;
    bucket.atMs = nowMs;
    bucket.left = Math.min(BURST, bucket.left + seconds * PER_SECOND);
    bucket.isUsedUp &&= bucket.left < RECOVERED;
    bucket.wasUsedUp &&= bucket.left < BURST;
    bucket.connections = Math.min(
      CONNECTIONS_PER_SECOND,
      bucket.connections + seconds * CONNECTIONS_PER_SECOND,
    );
    return bucket;
  }
}
