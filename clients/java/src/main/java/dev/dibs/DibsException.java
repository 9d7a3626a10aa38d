package dev.dibs;

import java.time.Duration;
import java.util.Optional;

/** A call ended without a value, for a reason other than its own rebuild. */
public abstract class DibsException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** How long to wait before a retry; null if a retry is pointless or no answer came. */
  private final Duration retryAfter;

  DibsException(String message, Duration retryAfter, Throwable cause) {
    super(message, cause);
    this.retryAfter = retryAfter;
  }

  /**
   * How long to wait before a retry.
   *
   * @return empty if a retry is pointless or no answer came
   */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }
}
