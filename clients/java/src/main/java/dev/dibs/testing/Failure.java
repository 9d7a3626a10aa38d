package dev.dibs.testing;

import dev.dibs.RetryAfter;
import java.time.Duration;

/** A rebuild's failure, and when its back-off is over. */
record Failure(String message, Duration until) {
  /** The back-off after a first failure, as in a service without a policy. */
  private static final Duration BACKOFF = Duration.ofSeconds(1);

  private static final Duration BACKOFF_MAX = Duration.ofSeconds(300);

  /** The failure with this exception, if the clock were at zero. */
  static Failure of(Throwable error) {
    return new Failure(messageOf(error), backOffOf(error));
  }

  Failure from(Duration now) {
    return new Failure(message, now.plus(until));
  }

  /** Both methods are user code, which may throw: the rebuild's exception matters more. */
  private static String messageOf(Throwable error) {
    try {
      return String.valueOf(error.getMessage());
    } catch (Throwable fault) {
      return error.getClass().getName();
    }
  }

  private static Duration backOffOf(Throwable error) {
    try {
      Duration asked = error instanceof RetryAfter carrier ? carrier.retryAfter() : null;
      return asked == null || asked.isNegative() || asked.compareTo(BACKOFF_MAX) > 0 ? BACKOFF : asked;
    } catch (Throwable fault) {
      return BACKOFF;
    }
  }
}
