package dev.dibs;

import java.time.Duration;
import java.util.Optional;

/** A call that ended without a value for a reason that is not the rebuild's own. */
public abstract class DibsException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** When to come back; null where a retry makes no sense or no answer came. */
  private final Duration retryAfter;

  DibsException(String message, Duration retryAfter, Throwable cause) {
    super(message, cause);
    this.retryAfter = retryAfter;
  }

  /**
   * When to come back.
   *
   * @return empty where a retry makes no sense, or no answer came
   */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }
}
