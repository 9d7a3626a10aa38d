import type { Policy } from '../words/policy.js';
import type { Token } from '../words/token.js';

/**
 * How much of a lease cannot be counted on: clocks may drift by 1 %, and Redis expires keys with a
 * precision of 1 ms, once at each end (Redlock, "Safety arguments").
 */
export function driftMs(leaseMs: number): number {
  return Math.round(leaseMs * 0.01) + 2;
}

export function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}

/** How long a lease lasts by its token, within the bounds: a caller can write any length into it. */
export function leaseMsIn(
  { leaseMs }: Pick<Token, 'leaseMs'>,
  { leaseMsMin, leaseMsMax }: Pick<Policy, 'leaseMsMin' | 'leaseMsMax'>,
): number {
  return clamp(leaseMs, leaseMsMin, leaseMsMax);
}
