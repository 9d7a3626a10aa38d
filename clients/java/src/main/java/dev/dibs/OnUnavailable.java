package dev.dibs;

/** What is done when the service cannot be reached. */
public enum OnUnavailable {
  /** The rebuild runs in this process, one at a time for each key; its result is not published. */
  REBUILD,
  /** The call fails with a {@link DibsStatusException}. */
  FAIL
}
