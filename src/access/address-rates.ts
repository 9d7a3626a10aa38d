import type { Clock } from '../coordination/ports/clock.js';

export interface AddressBounds {
  /** What an address may do at once, and then each second. */
  readonly burst: number;
  readonly perSecond: number;
  /** An address that has used them up gets none until it has recovered this many. */
  readonly recovered: number;
  /** New connections each second of such an address. */
  readonly connectionsPerSecond: number;
}

interface Bucket {
  left: number;
  isUsedUp: boolean;
  /** Until it may have all of them again. */
  wasUsedUp: boolean;
  connections: number;
  atMs: number;
}

/** Each bucket takes some 200 bytes. A full one need not be kept, so only addresses of this moment have one. */
const ADDRESSES_MAX = 10_000;

/** What costs the address that it comes from, because it has no other name. */
export class AddressRates {
  /** From the oldest to the newest. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly bounds: AddressBounds,
  ) {}

  /** How many addresses it knows. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Counts one. False if the address has had too many: cut its connection. */
  count(peer: string): boolean {
    let bucket = this.#of(peer);
    if (bucket === undefined) {
      this.#makeRoom();
      const { burst, connectionsPerSecond } = this.bounds;
      bucket = {
        left: burst,
        isUsedUp: false,
        wasUsedUp: false,
        connections: connectionsPerSecond,
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

  /** Whether the address has had too many, and gets none now. */
  isUsedUp(peer: string): boolean {
    return this.#of(peer)?.isUsedUp === true;
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

  /** Forgets addresses that have recovered. */
  sweep(): void {
    const { burst } = this.bounds;
    for (const peer of this.#buckets.keys()) if (this.#of(peer)?.left === burst) this.#buckets.delete(peer);
  }

  #makeRoom(): void {
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size < ADDRESSES_MAX) break;
      this.#buckets.delete(oldest);
    }
  }

  #of(peer: string): Bucket | undefined {
    const bucket = this.#buckets.get(peer);
    if (bucket === undefined) return undefined;
    const { burst, perSecond, recovered, connectionsPerSecond } = this.bounds;
    const nowMs = this.clock.nowMs();
    const seconds = (nowMs - bucket.atMs) / 1_000;
    bucket.atMs = nowMs;
    bucket.left = Math.min(burst, bucket.left + seconds * perSecond);
    bucket.isUsedUp &&= bucket.left < recovered;
    bucket.wasUsedUp &&= bucket.left < burst;
    bucket.connections = Math.min(connectionsPerSecond, bucket.connections + seconds * connectionsPerSecond);
    return bucket;
  }
}
