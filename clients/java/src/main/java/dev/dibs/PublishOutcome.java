package dev.dibs;

/**
 * The outcome of a publish. The caller of the rebuild gets its value even if it was not stored, unless the lease was
 * lost.
 */
public enum PublishOutcome {
  /**
   * Stored, within the lease. Waiters of that replica get the value at once. If the store answered only a repetition,
   * they read the value from the store instead: how long it has been there is unknown.
   */
  STORED,
  /** Stored after the lease had expired: no other lease had been granted meanwhile. */
  STORED_LATE,
  /** An earlier publish of the same lease had already stored it. Waiters read what is stored now. */
  DUPLICATE,
  /** Not stored: a newer lease was granted meanwhile. */
  SUPERSEDED,
  /** Not stored: the key was invalidated during the rebuild. */
  INVALIDATED,
  /** Not stored: the lease is unknown to the store. */
  UNKNOWN_LEASE,
  /**
   * Not stored: the service has no store at the moment. {@link Published#maybeStored()} says whether this is certain.
   */
  NOT_STORED,
  /** An outcome that this version does not know. */
  UNSPECIFIED
}
