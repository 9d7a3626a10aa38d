package dev.dibs;

/**
 * What became of a result that was published. Its own caller gets it also where it was not stored, unless the lease was
 * lost.
 */
public enum PublishOutcome {
  /**
   * Stored, within the lease. Waiters of that replica are served with it at once. Where only a repetition was answered by
   * the store, they read it from the store instead: how long it has been there is not known.
   */
  STORED,
  /** Stored, although the lease's time was over: no other lease had been given meanwhile. */
  STORED_LATE,
  /** An earlier publish of the same lease had stored it. It serves no waiters: they read what is stored now. */
  DUPLICATE,
  /** Not stored: a newer lease was given meanwhile. */
  SUPERSEDED,
  /** Not stored: the key was invalidated during the rebuild. */
  INVALIDATED,
  /** Not stored: the store knows nothing of the lease. */
  UNKNOWN_LEASE,
  /** Not stored, because the service has no store just now. {@link Published#maybeStored()} says whether that is sure. */
  NOT_STORED,
  /** An outcome that this version does not know. */
  UNSPECIFIED
}
