/**
 * One lock node as the quorum needs it: steps, each a single request, and no policy. The Redis room
 * implements it over a connection, a simulation in its own memory.
 *
 * Steps are applied in the order in which they were sent on one connection, and none is ever sent a
 * second time. Each rejects with an Error when there is no connection, when the connection breaks, or
 * when the node answers with an error (READONLY, OOM, LOADING, …); it may also never settle.
 */
export interface LockNode {
  /** For people and metrics: which node this is, without its password. */
  readonly name: string;
  /** Connects, and connects again whenever the connection is lost, until {@link close}. */
  start(listener: LockNodeListener): void;
  /** Ends the connection after what was sent has been written to it. */
  close(): Promise<void>;

  /** Loads the scripts that the node votes by. */
  prepare(): Promise<void>;
  /** Reads which run of the node's process answers, and whether it may evict keys. */
  inspect(): Promise<NodeFacts>;
  /** What the node remembers; begins its wait if it has no marker of this run and none has begun. */
  recall(run: string, leaseMsMax: number): Promise<Memory>;
  /**
   * Marks the node as one that has forgotten nothing. Only while its wait is still the one begun at
   * `since` in this run, and only if it is older than the longest lease, unless it is the first start
   * and there never was a marker. False if it may not be marked so.
   */
  mark(run: string, since: string, firstStart: boolean): Promise<boolean>;
  /** Takes the marker away, so that the node waits before it votes again. */
  unmark(): Promise<void>;
  /** Answered after everything that was sent before it. */
  ping(): Promise<void>;

  /** Locks `id` for `ttlMs` unless anybody holds it. `run` must be what the marker says. */
  acquire(run: string, id: string, nonce: string, ttlMs: number): Promise<LockReply>;
  /** Makes the lock last at least `ttlMs`; locks it again where nobody holds it. */
  extend(run: string, id: string, nonce: string, ttlMs: number): Promise<LockReply>;
  /** Takes away the lock that `nonce` holds, if it does. Needs no marker. */
  release(id: string, nonce: string): Promise<void>;
}

export interface LockNodeListener {
  connected(): void;
  lost(why: string): void;
}

export interface NodeFacts {
  /** The id that the process drew when it started. */
  readonly run: string;
  /** What makes it evict keys when its memory is full; absent if it never does. */
  readonly evictionPolicy?: string;
}

export type Memory =
  /** The marker names this run: nothing was forgotten since it was set. */
  | { readonly kind: 'marked' }
  | {
      readonly kind: 'waiting';
      /** There is no marker at all, also not one of another run. */
      readonly blank: boolean;
      /** Which wait it is: another one begins whenever the node forgets again. */
      readonly since: string;
      /** Until the wait is older than the longest lease; 0 when it is. */
      readonly leftMs: number;
    };

export type LockReply =
  | 'done'
  | 'held'
  /** The marker does not name the run that was passed. */
  | 'unmarked'
  /** The scripts are not on the node. */
  | 'unprepared';
