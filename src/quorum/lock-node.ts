/**
 * The quorum's port to one lock node. Each call is a single request; there is no policy here. The Redis room implements
 * it over a connection, the simulation in memory.
 *
 * Calls are applied in the order in which they were sent on one connection. No call is ever sent twice. A call rejects
 * with an Error without a connection or when the connection breaks, and with a {@link Refusal} when the node answers
 * with an error (READONLY, OOM, NOPERM, …). It may also never settle.
 */
export interface LockNode {
  /** The node's name for people and metrics, without its password. */
  readonly name: string;
  /** Connects, and reconnects after a loss, until {@link close}. */
  start(listener: LockNodeListener): void;
  /** Ends the connection after all sent steps were written. */
  close(): Promise<void>;

  /** Loads the scripts for votes. */
  prepare(): Promise<void>;
  /** Reads the run of the node's process, and whether it may evict keys. */
  inspect(): Promise<NodeFacts>;
  /** What the node remembers. Begins its wait if it has neither a marker of this run nor a wait. */
  recall(run: string, leaseMsMax: number): Promise<Memory>;
  /**
   * Marks the node as one that has forgotten nothing. This needs the wait that began at `since` in this run. The wait
   * must be older than the longest lease, unless this is the first start and there never was a marker. False if the
   * node may not be marked.
   */
  mark(run: string, since: string, firstStart: boolean): Promise<boolean>;
  /** Removes the marker, so the node waits before it votes again. */
  unmark(): Promise<void>;
  /** Answered after all earlier steps. */
  ping(): Promise<void>;

  /**
   * Acquires and extends locks in one request, step by step in the given order. `run` must match the marker. Answers
   * each step for itself: an error of one step leaves the others alone.
   */
  take(run: string, steps: readonly TakeStep[]): Promise<readonly TakeReply[]>;
  /** Removes only the locks that the nonces of the steps hold, in one request. Needs no marker. */
  free(steps: readonly LockStep[]): Promise<void>;
}

/** A request about one lock. Without more fields: release it for `nonce`. */
export interface LockStep {
  /** The key's ID. Neither the ID nor the nonce contains white space. */
  readonly id: string;
  readonly nonce: string;
}

/**
 * To `acquire` is to lock `id` for `ttlMs` unless it is locked. To `extend` is to make the lock last at least `ttlMs`,
 * and to lock it again if it is free.
 */
export interface TakeStep extends LockStep {
  readonly kind: 'acquire' | 'extend';
  readonly ttlMs: number;
}

/** An Error is the node's answer to this step alone: a {@link Refusal}, or an unknown reply. */
export type TakeReply = LockReply | Error;

/** The node answered, and its answer is an error. The message says why, and what to do. */
export interface Refusal extends Error {
  readonly name: 'Refused';
}

export interface LockNodeListener {
  connected(): void;
  /** `silent`: the node did not report this; no reply came for so long that the connection was given up. */
  disconnected(why: string, silent?: boolean): void;
}

export interface NodeFacts {
  /** The id of this start of the process. */
  readonly run: string;
  /** Its eviction policy; absent if it never evicts. */
  readonly evictionPolicy?: string;
}

export type Memory =
  /** The marker names this run, so nothing was forgotten since it was set. */
  | { readonly kind: 'marked' }
  | {
      readonly kind: 'waiting';
      /** There is no marker at all, not even of another run. */
      readonly blank: boolean;
      /** Identifies the wait. A new one begins whenever the node forgets again. */
      readonly since: string;
      /** The time until the wait is older than the longest lease; 0 if it already is. */
      readonly leftMs: number;
    };

export type LockReply =
  | 'done'
  | 'held'
  /** The marker does not name the given run. */
  | 'unmarked'
  /** The scripts are not on the node. */
  | 'unprepared';
