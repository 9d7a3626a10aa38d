/**
 * The quorum: it decides who works. Five independent lock nodes made to look like one. No method ever
 * rejects, and each settles within the nodes' time-out: a node that hangs is a missing vote.
 */
export interface LeaseQuorum {
  /**
   * One attempt under a nonce that was never used. Unless it is granted, everything that the attempt may have left on
   * any node has been asked to go before this settles. `heard` is told of each vote, also of late ones.
   */
  acquire(id: string, nonce: string, leaseMs: number, heard?: VoteListener): Promise<Ballot>;
  /**
   * Lets the lock last at least `leaseMs` from now on, and locks marked nodes again that have lost it.
   * `held` means that a majority holds it for somebody else.
   */
  extend(id: string, nonce: string, leaseMs: number): Promise<Ballot>;
  /** Gives the lock back on all nodes, also those that do not answer now. */
  release(id: string, nonce: string): Promise<void>;
}

/** One node's vote, and how long it took. */
export type VoteListener = (node: string, vote: string, tookMs: number) => void;

export type Ballot =
  /** A majority agreed and validity is left. `validUntilMs` is on the replica's {@link Clock}, less drift. */
  | { readonly kind: 'granted'; readonly nonce: string; readonly validUntilMs: number }
  /** A majority says that somebody holds it. */
  | { readonly kind: 'held' }
  /** A majority answered and did not agree, or agreed too late for any validity to be left. */
  | { readonly kind: 'undecided' }
  /** Fewer than a majority answered with a vote. `late`: with those that may only be slow, it would be a majority. */
  | { readonly kind: 'unavailable'; readonly late?: boolean };
