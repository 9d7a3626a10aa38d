package dev.dibs;

import java.time.Duration;

/** What an exception of a rebuild implements that knows how long the source should be left alone. */
public interface RetryAfter {
  /**
   * How long the whole fleet leaves the source alone.
   *
   * @return 0 to 300 s; anything else, or null, leaves it to the namespace's policy
   */
  Duration retryAfter();
}
