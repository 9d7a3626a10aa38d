package dev.dibs;

/** What to do if the service cannot be reached. */
public enum OnUnavailable {
  /** Rebuild in this process, one rebuild at a time per key; the result is not published. */
  REBUILD,
  /** Fail the call with a {@link DibsStatusException}. */
  FAIL
}
