package dev.dibs;

import java.time.Duration;

/** Implemented by exceptions of a rebuild that know how long to leave the source alone. */
public interface RetryAfter {
  /**
   * How long no process in the fleet should ask the source.
   *
   * @return 0 to 300 s; for any other value or null, the namespace's policy applies
   */
  Duration retryAfter();
}
