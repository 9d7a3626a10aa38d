/** Lock nodes that decide together. A fleet has one group of them or several, each for a share of the keys. */
export interface LockGroup {
  /** The same on every replica that has these nodes in a group, in any order, and on no other. */
  readonly name: string;
  /** One of its nodes, for people. Empty if there is only one group. */
  readonly label: string;
}

/**
 * The quorum decides which caller rebuilds. Five independent lock nodes look like one. No method ever
 * rejects, and each settles within the nodes' time-out: a node that hangs is a missing vote.
 */
export interface LeaseQuorum {
  /** The lock nodes that decide about this id: the same object each time. */
  groupOf(id: string): LockGroup;
  /**
   * One attempt with a nonce that was never used. If it is not granted, everything that the attempt may have left on
   * any node has been asked to go before this settles. `heard` gets each vote, late ones too.
   */
  acquire(id: string, nonce: string, leaseMs: number, heard?: VoteListener): Promise<Ballot>;
  /**
   * Extends the lock to at least `leaseMs` from now, and locks again on marked nodes that have lost it. `held` means
   * that a majority holds it for another nonce.
   */
  extend(id: string, nonce: string, leaseMs: number): Promise<Ballot>;
  /** Releases the lock on all nodes, including those that do not answer now. */
  release(id: string, nonce: string): Promise<void>;
}

/** One node's vote, and how long it took. */
export type VoteListener = (node: string, vote: string, tookMs: number) => void;

export type Ballot =
  /** A majority agreed and validity is left. `validUntilMs` is on the replica's {@link Clock}, less drift. */
  | { readonly kind: 'granted'; readonly nonce: string; readonly validUntilMs: number }
  /** A majority says that another nonce holds it. */
  | { readonly kind: 'held' }
  /** A majority answered and did not agree, or agreed too late for any validity to be left. */
  | { readonly kind: 'undecided' }
  /** Fewer than a majority answered with a vote. `late`: there may be a majority once the slow ones answer. */
  | { readonly kind: 'unavailable'; readonly late?: boolean };
