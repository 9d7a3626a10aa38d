import { leaseLeftMs, type Snapshot } from '../reading/snapshot.js';
import type { Policy } from '../words/policy.js';
import type { RebuildTimes } from '../words/record.js';
import { clamp } from './drift.js';

/**
 * A learned lease is never shorter, however short rebuilds are. Its holder extends it every third of its length, so a
 * live holder can go without CPU for two seconds. What was learned earlier does not account for a sudden overload. A
 * holder that dies loses its leases with its session, so others do not wait for the rest.
 */
const LEARNED_LEASE_MS_MIN = 3_000;

/** When the running rebuild is expected to end. */
export interface Forecast {
  /** It rarely ends earlier: two deviations before the mean. */
  readonly earliestMs: number;
  /** It usually ends by then: the mean and a deviation. */
  readonly usuallyMs: number;
}

/**
 * How much longer the running rebuild will take at `nowMs`, from the key's earlier rebuilds. Undefined if none runs, if
 * nothing was learned, or if it has already taken longer than usual.
 */
export function forecast(snapshot: Snapshot, nowMs: number): Forecast | undefined {
  const { lease, rebuild } = snapshot.record;
  if (lease === undefined || rebuild === undefined || leaseLeftMs(snapshot, nowMs) <= 0) return undefined;
  const ageMs = lease.ageMs + (nowMs - snapshot.readAtMs);
  const usuallyMs = rebuild.meanMs + rebuild.deviationMs - ageMs;
  if (usuallyMs <= 0) return undefined;
  return { earliestMs: Math.max(0, rebuild.meanMs - 2 * rebuild.deviationMs - ageMs), usuallyMs };
}

/** A holder extends every third of its lease. So an extension that is as late as the store was is still in time. */
const LEASE_PER_LATENESS = 4;

/**
 * The length of a lease if the call sets none: twice the time that a rebuild rarely exceeds, which is the mean and
 * four deviations (as in TCP's retransmission timeout). It is within the namespace's bounds. `lateMs` is the longest
 * lateness of the store in the last minute.
 */
export function learnedLeaseMs(rebuild: RebuildTimes, policy: Policy, lateMs = 0): number {
  const longMs = Math.ceil(2 * (rebuild.meanMs + 4 * rebuild.deviationMs));
  const leastMs = Math.max(LEARNED_LEASE_MS_MIN, Math.ceil(LEASE_PER_LATENESS * lateMs));
  return clamp(Math.max(leastMs, longMs), policy.leaseMsMin, policy.leaseMsMax);
}

/** The length of a lease if the call sets none: the default until something is learned. */
export function unnamedLeaseMs(
  rebuild: RebuildTimes | undefined,
  defaultMs: number,
  policy: Policy,
  lateMs: number,
): number {
  if (rebuild !== undefined) return learnedLeaseMs(rebuild, policy, lateMs);
  return clamp(defaultMs, policy.leaseMsMin, policy.leaseMsMax);
}

/**
 * XFetch (Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015): a caller
 * rebuilds early if the value stays fresh for no more than `delta * beta * -ln(u)`, with delta the time of a rebuild
 * and u uniform in (0, 1].
 */
export function isDrawnToRefresh(freshForMs: number, rebuild: RebuildTimes, betaTimesDraw: number): boolean {
  return freshForMs <= rebuild.meanMs * betaTimesDraw;
}

/** `beta * -ln(u)` for one caller, from a fraction in [0, 1). */
export function refreshDraw(beta: number, fraction: number): number {
  return beta === 0 ? 0 : beta * -Math.log(1 - fraction);
}
