package dev.dibs;

/** What became of a result that was handed over. The result is its own caller's also where it was not stored, unless the lease was lost. */
public enum PublishOutcome {
  /** Stored, within the lease. */
  STORED,
  /** Stored, although the lease's time was over: no other lease had been given meanwhile. */
  STORED_LATE,
  /** It had been stored already. */
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
