/**
 * The one place outside the lock nodes that remembers whether the quorum has ever voted. It is in the value store, so
 * it survives the loss of all lock nodes.
 */
export interface FirstStartClaim {
  /** True for exactly one caller, ever. Rejects, or never settles, when the store cannot be reached. */
  claimFirstStart(): Promise<boolean>;
}
