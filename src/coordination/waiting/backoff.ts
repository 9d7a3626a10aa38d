import type { Chance } from '../ports/clock.js';

/** The poll of waiters, in case wakes are lost: often enough to be within a second, jittered over replicas. */
const POLL_MS_MIN = 250;
export const POLL_MS_MAX = 1_000;
/** Range of the first pause after an undecided vote: a few times what a vote on a local network takes. */
const RETRY_MS_MIN = 4;
const RETRY_MS_MAX = 250;
/** Spreads the replicas' reads at a lease's end. */
const LEASE_END_JITTER_MS = 50;

/** How long to sleep if there is nothing to try: to the end of the lease, if one runs, or to the next poll. */
export function restMs(leaseLeftMs: number | undefined, chance: Chance): number {
  const pollMs = POLL_MS_MIN + chance.fraction() * (POLL_MS_MAX - POLL_MS_MIN);
  if (leaseLeftMs === undefined) return pollMs;
  return Math.min(pollMs, Math.max(0, leaseLeftMs) + chance.fraction() * LEASE_END_JITTER_MS);
}

/** Full jitter over a range that doubles, which spreads any number of contenders (Brooker, 2015). */
export function retryMs(undecided: number, chance: Chance): number {
  const rangeMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(undecided, 10));
  return 1 + chance.fraction() * rangeMs;
}
