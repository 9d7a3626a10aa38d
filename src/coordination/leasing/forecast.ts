import { leaseLeftMs, type Snapshot } from '../reading/snapshot.js';
import type { Policy } from '../words/policy.js';
import type { RebuildTimes } from '../words/record.js';
import { clamp } from './drift.js';

/**
 * A learned lease is never shorter, however short rebuilds are. Its holder extends it every third of it, so it survives
 * that a holder which is alive has no CPU for two seconds. Where a machine is suddenly overloaded, nothing that was
 * learned before knows of it. A holder that dies ends its leases with its session, and does not make others wait for this.
 */
const LEARNED_LEASE_MS_MIN = 3_000;

/** When the running rebuild will have ended. */
export interface Forecast {
  /** Hardly earlier: two deviations before the mean. */
  readonly earliestMs: number;
  /** As a rule by then: the mean and a deviation. */
  readonly usuallyMs: number;
}

/**
 * How long the rebuild that runs will still take at `nowMs`, from what the key's rebuilds took before.
 * Undefined where none runs, where nothing was learned, and where it has outlasted what is usual already.
 */
export function forecast(snapshot: Snapshot, nowMs: number): Forecast | undefined {
  const { lease, rebuild } = snapshot.record;
  if (lease === undefined || rebuild === undefined || leaseLeftMs(snapshot, nowMs) <= 0) return undefined;
  const ageMs = lease.ageMs + (nowMs - snapshot.readAtMs);
  const usuallyMs = rebuild.meanMs + rebuild.deviationMs - ageMs;
  if (usuallyMs <= 0) return undefined;
  return { earliestMs: Math.max(0, rebuild.meanMs - 2 * rebuild.deviationMs - ageMs), usuallyMs };
}

/** A holder extends every third of its lease, so one extension that is as late as this still comes in time. */
const LEASE_PER_LATENESS = 4;

/**
 * How long a lease should be that names no length: twice what a rebuild hardly ever exceeds, the mean and
 * four deviations (as TCP sets its time-out for sending again), within the namespace's bounds. `lateMs` is the longest
 * lateness of the store in the last minute.
 */
export function learnedLeaseMs(rebuild: RebuildTimes, policy: Policy, lateMs = 0): number {
  const longMs = Math.ceil(2 * (rebuild.meanMs + 4 * rebuild.deviationMs));
  const leastMs = Math.max(LEARNED_LEASE_MS_MIN, Math.ceil(LEASE_PER_LATENESS * lateMs));
  return clamp(Math.max(leastMs, longMs), policy.leaseMsMin, policy.leaseMsMax);
}

/** The length of a lease whose caller names none: the default, until there is something learned. */
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
 * XFetch (Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015):
 * a caller rebuilds early if what the value is still fresh for is no more than
 * `delta * beta * -ln(u)`, with delta the time of a rebuild and u uniform in (0, 1].
 */
export function isDrawnToRefresh(freshForMs: number, rebuild: RebuildTimes, betaTimesDraw: number): boolean {
  return freshForMs <= rebuild.meanMs * betaTimesDraw;
}

/** `beta * -ln(u)` for one caller, from a fraction in [0, 1). */
export function refreshDraw(beta: number, fraction: number): number {
  return beta === 0 ? 0 : beta * -Math.log(1 - fraction);
}
