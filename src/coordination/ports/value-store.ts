import type { LeaseEnd, LeaseReason, Payload, PublishOutcome, ReleaseOutcome } from '../words/outcome.js';
import type {
  KeyRecord,
  LeaseLabels,
  MeasuredRecord,
  PastLease,
  RecordFacts,
  StoredValue,
} from '../words/record.js';

/**
 * The value store: it decides whose result counts. Each method is one atomic step at the store, on the store's own
 * clock. A method waits for its reply as long as the store may only be late. It rejects with {@link StoreUnavailable}
 * when the reply can no longer come. The step may or may not have been taken then. Every step is safe to send again.
 */
export interface ValueStore {
  /** Reads the record of a key. */
  read(id: string, request?: ReadRequest): Promise<KeyRecord>;
  /** Makes a granted lease the one whose publish counts, if the record is still as the caller read it. */
  arm(id: string, request: ArmRequest): Promise<ArmReply>;
  /**
   * Hands the armed lease `nonce` out again by raising its owner number. With `to`, it belongs to another caller from
   * now on. Undefined if it is not armed, or if its owner number is not that of `to`.
   */
  adopt(id: string, nonce: string, to?: HandOver): Promise<RecordFacts | undefined>;
  /** Stores a value if its nonce is exactly the armed one, ends the lease and sends the wake. */
  publish(id: string, request: StorePublish): Promise<StoredAnswer>;
  /** Ends the armed lease `nonce` without a value and sends the wake. */
  release(id: string, request: StoreRelease): Promise<ReleaseOutcome>;
  /** Extends the armed lease; it never shortens it. Lost if `nonce` is not armed, or has lasted for `holdMs`. */
  extend(id: string, request: StoreExtend): Promise<StoreExtended>;
  /** Drops the value or marks it stale, voids the armed lease, raises the fence and sends the wake. */
  invalidate(id: string, request: StoreInvalidate): Promise<StoreInvalidated>;
  /** Reads the record and the last leases that have ended, newest first. */
  explain(id: string): Promise<{ record: MeasuredRecord; past: readonly PastLease[] }>;
}

export interface ReadRequest {
  /** A value that the caller has. While the store's value has the same fence, its payload is not sent again. */
  readonly known?: Pick<StoredValue, 'fence' | 'payload'> | undefined;
  /** Called once, when the read is sent, because it may wait for its turn. Not called if it is refused before that. */
  readonly sent?: () => void;
}

/** The caller that takes over an armed lease. */
export interface HandOver extends LeaseLabels {
  /** Its owner number so far. A lease that was handed out again since is not taken away. */
  readonly owner: number;
}

export interface ArmRequest {
  readonly nonce: string;
  /** How long the lease lasts from the store's current time: the rest of its validity. */
  readonly expiresInMs: number;
  /** The full length that it was granted for. An extension without a length uses it. */
  readonly leaseMs: number;
  /** {@link KeyRecord.fence} and {@link KeyRecord.valueFence} as read before the quorum was asked. */
  readonly fenceRead: number;
  readonly valueFenceRead: number;
  /** The quorum was not available to grant it: the store alone does. */
  readonly quorumLost: boolean;
  /** {@link LockGroup.name} of the lock nodes that granted it, or that were not available. */
  readonly group: string;
  /**
   * If the quorum was not available, or if the last lease was not granted and extended by this group alone: arm only if
   * its holder has ended that lease, or if it expired at least `silenceMs` ago. Its holder may have extended it at its
   * lock nodes while the store was late.
   */
  readonly silenceMs: number;
  readonly holder: string;
  readonly traceparent: string;
  readonly requestKey: string;
  readonly reason: LeaseReason;
  /** The namespace's tag clock, read before the quorum was asked; the value that is published will carry it. */
  readonly clock: string;
  /** The longest lease: how long the record outlives its value and its lease. */
  readonly keepMs: number;
}

/**
 * Armed, with the current record, whose `lease` is the one just armed; or not armed, with the current record. The value
 * is not sent, because the caller has read it. It is not armed if the value or the fence is not the one that was read,
 * or if a lease that was granted without the quorum still runs. If this lease is by the store alone, or by lock nodes of
 * another group, it is also not armed if any lease still runs, or ran until just now. A nonce that is already armed is
 * armed again with the same fence: the reply was lost, not the step.
 */
export interface ArmReply {
  readonly armed: boolean;
  readonly record: RecordFacts;
}

export interface StorePublish {
  readonly nonce: string;
  /** The lease's own fence, to tell a superseded lease from an unknown one. */
  readonly fence: number;
  readonly payload: Payload;
  readonly ttlMs: number;
  readonly staleMs: number;
  readonly tags: readonly string[];
  readonly keepMs: number;
  /** As {@link ReadRequest.sent}. */
  readonly sent?: (() => void) | undefined;
}

export interface StoredAnswer {
  readonly outcome: StoredOutcome;
  /** The fence under which a value is now stored; 0 if there is none. */
  readonly fence: number;
  /** The tag clock of the lease, if the value was stored, now or before, and has not expired; else empty. */
  readonly clock: string;
}

export type StoredOutcome = Exclude<PublishOutcome, 'not_stored'>;

export interface StoreRelease {
  readonly nonce: string;
  /** How it ended, for later reads. */
  readonly end: LeaseEnd;
  /** Only if the lease was not handed out again since. Absent: the nonce alone is enough to end it. */
  readonly owner?: number;
  readonly failure?: {
    readonly message: string;
    /** Absent: `backoffMs` doubled for each failure in a row before this one, at most `backoffMsMax`. */
    readonly retryAfterMs?: number;
    readonly backoffMs: number;
    readonly backoffMsMax: number;
  };
  readonly keepMs: number;
}

export interface StoreExtend {
  readonly nonce: string;
  readonly expiresInMs: number;
  /** The quorum was not available to agree. An extension with the quorum clears the mark. */
  readonly quorumLost: boolean;
  /** {@link LockGroup.name} of the lock nodes that agreed, or that were not available. */
  readonly group: string;
  /** How long a lease may last in all, from when it was armed; after that it is not extended. */
  readonly holdMs: number;
  readonly keepMs: number;
}

export type StoreExtended =
  | { readonly extended: true; readonly expiresInMs: number }
  | { readonly extended: false };

export interface StoreInvalidate {
  readonly mode: 'delete' | 'mark_stale';
  readonly keepMs: number;
}

export interface StoreInvalidated {
  readonly hadValue: boolean;
  /** The record's fence after the step. */
  readonly fence: number;
  /** The nonce of the running lease that was voided. Its lock on the quorum must be released. */
  readonly voidedNonce?: string;
}

/**
 * How an authority is missing.
 * - `gone`: it says so (refused, reset, an error that concerns the whole connection), or it has been silent for 2 S.
 * - `silent`: it owes a reply, and for S of this process's own running time nothing came from it.
 * - `late`: this reply will not come, but the authority answers others. That is no reason to do without it.
 */
export type Missing = 'gone' | 'silent' | 'late';

/** The store's reply will not come, or it says that the store cannot serve. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  readonly how: Missing;
  /** The step was certainly not taken: it was not sent, or the store refused it. */
  readonly untaken: boolean;

  constructor(
    message: string,
    {
      how = 'gone',
      untaken = false,
      ...options
    }: ErrorOptions & { readonly how?: Missing; readonly untaken?: boolean } = {},
  ) {
    super(message, options);
    this.how = how;
    this.untaken = untaken;
  }
}
