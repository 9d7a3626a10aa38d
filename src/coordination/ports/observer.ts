import type { BusyReason, Degraded, LeaseEnd, PublishOutcome } from '../words/outcome.js';

/** What ended a wait. */
export type WaitEnd = 'publish' | 'lease' | 'failure' | 'timeout' | 'cancelled' | 'drain' | 'error';

/** Gets every decision of the coordinator. Telemetry implements it. It cannot change a decision. */
export interface Observer {
  /** A GetOrLock was answered: `outcome` is one of hit, stale, lease, failed, or why it was busy. */
  answered(
    namespace: string,
    outcome: 'hit' | 'stale' | 'lease' | 'failed' | BusyReason,
    degraded: Degraded,
  ): void;
  /** A caller that had to wait no longer does. */
  waited(namespace: string, endedBy: WaitEnd, waitedMs: number): void;
  /**
   * A publish was answered; `rebuildMs` since its lease was given, if this replica gave it. The W3C
   * traceparent is that of the call, or empty.
   */
  published(
    namespace: string,
    outcome: PublishOutcome,
    rebuildMs: number | undefined,
    traceparent: string,
  ): void;
  /** A lease ended other than by a publish on this replica. The W3C traceparent is that of its rebuild, or empty. */
  leaseEnded(namespace: string, end: LeaseEnd, heldMs: number, traceparent: string): void;
  /** A caller got another caller's rebuild instead of making its own. */
  saved(namespace: string, count: number): void;
  /** A step of the degradation, down or back up: the rung of all decisions from now on. */
  degraded(mode: Degraded): void;
  /** The store owes a reply for longer than the soft timeout, so callers wait for it; or it does no more. */
  storeLate(late: boolean, sinceMs: number): void;
}

/** An observer that ignores everything. */
export const NO_OBSERVER: Observer = {
  answered() {},
  waited() {},
  published() {},
  leaseEnded() {},
  saved() {},
  degraded() {},
  storeLate() {},
};
