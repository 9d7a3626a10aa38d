/**
 * The one place outside the lock nodes that remembers that the quorum has ever voted. It is asked at the
 * value store, so that it survives the loss of all lock nodes.
 */
export interface FirstStartClaim {
  /** True for exactly one caller, ever. Rejects, or never settles, when the store cannot be reached. */
  claimFirstStart(): Promise<boolean>;
}
