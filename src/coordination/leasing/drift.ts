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
