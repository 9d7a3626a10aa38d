package dev.dibs;

/** How a lease ended. */
public enum LeaseEnd {
  /** Its value was stored. */
  PUBLISHED,
  /** The holder released it without a failure. */
  RELEASED,
  /** The holder released it with a failure. */
  FAILED,
  /** Its time ran out. */
  EXPIRED,
  /** Its session ended. */
  SESSION_LOST,
  /** The key was invalidated. */
  INVALIDATED,
  /** The caller was gone before the lease was granted. */
  CANCELLED,
  /** An end that this version does not know. */
  UNSPECIFIED
}
