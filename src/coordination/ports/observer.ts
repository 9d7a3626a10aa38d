import type { BusyReason, Degraded, LeaseEnd, PublishOutcome, UndecidedBy } from '../words/outcome.js';

/** What ended a wait. */
export type WaitEnd = 'publish' | 'lease' | 'failure' | 'timeout' | 'cancelled' | 'drain' | 'error';

/** Why a publish is `not_stored`. */
export interface NotStored {
  /**
   * `lease`: its lease was granted without the store, so the store was not asked. `store`: the store cannot be reached,
   * or refuses. `reply`: it was sent, and its reply is lost, so the store may have it.
   */
  readonly cause: 'lease' | 'store' | 'reply';
  /** What is known about the store, in words; empty for `lease`. */
  readonly why: string;
  readonly valueBytes: number;
}

/** A step at the value store. `clock`, `slot` and `tags` are those of a namespace. */
export type StoreStep =
  | 'read'
  | 'explain'
  | 'arm'
  | 'adopt'
  | 'publish'
  | 'release'
  | 'extend'
  | 'invalidate'
  | 'clock'
  | 'tags'
  | 'slot';

/** Gets every decision of the coordinator. Telemetry implements it. It cannot change a decision. */
export interface Observer {
  /** A GetOrLock was answered: `outcome` is one of hit, stale, lease, failed, or why it was busy. */
  answered(
    namespace: string,
    outcome: 'hit' | 'stale' | 'lease' | 'failed' | BusyReason,
    degraded: Degraded,
  ): void;
  /** A caller's wait has ended. */
  waited(namespace: string, endedBy: WaitEnd, waitedMs: number): void;
  /**
   * A publish was answered; `rebuildMs` since its lease was given, if this replica gave it and has not reported its
   * expiry. The W3C traceparent is that of the call, or empty.
   */
  published(
    namespace: string,
    outcome: PublishOutcome,
    rebuildMs: number | undefined,
    traceparent: string,
    notStored?: NotStored,
  ): void;
  /**
   * A publish's caller was told `not_stored` because its time was up. The store has not replied yet, and may still store
   * the value: {@link published} follows.
   */
  publishUnanswered(namespace: string, waitedMs: number, traceparent: string): void;
  /** A lease ended other than by a publish on this replica. The W3C traceparent is that of its rebuild, or empty. */
  leaseEnded(namespace: string, end: LeaseEnd, heldMs: number, traceparent: string): void;
  /** A caller got another caller's rebuild instead of making its own. */
  saved(namespace: string, count: number): void;
  /**
   * The degradation of all decisions from now on. Called with the first decision, and with each change. With several
   * groups of lock nodes, it is the worst of theirs, and `groups` are the labels of those that are lost.
   */
  degraded(mode: Degraded, groups: readonly string[]): void;
  /** `late`: the store has owed a reply for longer than the soft timeout, so callers wait. Otherwise that is over. */
  storeLate(late: boolean, sinceMs: number): void;
  /** A step at the store ended: it replied; or it is lost, or refuses; or its reply is only late. */
  storeStep(step: StoreStep, ended: 'done' | 'failed' | 'late'): void;
  /** `lasts`: for `sinceMs`, no attempt has had a winner, the last one because of `by`. Otherwise that is over. */
  undecided(lasts: boolean, sinceMs: number, by?: UndecidedBy): void;
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
  undecided() {},
  publishUnanswered() {},
  storeStep() {},
};
