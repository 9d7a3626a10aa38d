/** How one namespace behaves unless a call says otherwise. */
export interface Policy {
  /** Whether a stale value answers a call that leaves this open. */
  readonly stale: 'allow' | 'forbid';
  /** `stale_ms` of a publish that sets none. */
  readonly staleMs: number;
  /** Each TTL is shortened by up to this share of it, 0 to 1. */
  readonly ttlJitter: number;
  /** XFetch's beta; 0 turns early refresh off. */
  readonly earlyRefreshBeta: number;
  /** What a miss gets when the quorum or the store is lost: a degraded answer, or UNAVAILABLE. */
  readonly onLoss: 'degrade' | 'fail';
  /** What a miss does while the store is late: it waits for the store, or degrades at the soft timeout. */
  readonly onLate: 'wait' | 'degrade';
  /** Concurrent rebuilds across the fleet; 0 for no bound. */
  readonly maxRebuilds: number;
  /** Back-off after the first failure in a row; doubles with each. */
  readonly failureBackoffMs: number;
  /** The longest such back-off. */
  readonly failureBackoffMsMax: number;
  readonly leaseMsMin: number;
  readonly leaseMsMax: number;
  /** How long one lease may be extended in all. */
  readonly leaseHoldMsMax: number;
  readonly keysInTraces: 'hashed' | 'clear';
}

/** The process-wide bounds and defaults, as `config.ts` reads them. */
export interface Limits {
  /** The length of a lease if the call sets none. */
  readonly leaseMs: number;
  readonly leaseMsMin: number;
  readonly leaseMsMax: number;
  readonly waitMsMax: number;
  readonly valueBytesMax: number;
  readonly waitersPerKeyMax: number;
  readonly waitersMax: number;
  /** A store that owes a reply for this long is late. */
  readonly storeTimeoutMs: number;
  /** S: an authority that owes a reply and is silent for this long, in this process's own running time, is lost. */
  readonly silenceMs: number;
}

/**
 * No back-off is longer unless the policy says so. A fleet should not leave a source alone for more than five minutes.
 */
export const BACKOFF_MS_MAX = 300_000;

/** A rebuild that takes longer usually hangs, and a lease that is extended forever keeps the whole fleet waiting. */
const LEASE_HOLD_MS_MAX = 600_000;

export function defaultPolicy(limits: Limits): Policy {
  return {
    stale: 'allow',
    staleMs: 0,
    ttlJitter: 0,
    earlyRefreshBeta: 0,
    onLoss: 'degrade',
    // A late reply is only a guess, and stampedes come when machines are overloaded.
    onLate: 'wait',
    maxRebuilds: 0,
    // A second is long enough for a source to shed a stampede and short enough that a blip is forgotten.
    failureBackoffMs: 1_000,
    failureBackoffMsMax: BACKOFF_MS_MAX,
    leaseMsMin: limits.leaseMsMin,
    leaseMsMax: limits.leaseMsMax,
    leaseHoldMsMax: Math.max(LEASE_HOLD_MS_MAX, limits.leaseMsMax),
    keysInTraces: 'hashed',
  };
}
