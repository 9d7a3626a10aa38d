package dev.dibs;

import dev.dibs.v1.Failure;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Objects;

/**
 * The text that the waiters get for an exception: its message, truncated to the contract's limit at a character
 * boundary.
 */
final class FailureMessage {
  private static final int BYTES_MAX = 4_096;
  private static final Duration BACKOFF_MAX = Duration.ofSeconds(300);

  private FailureMessage() {}

  static Failure failureOf(Throwable error) {
    Failure.Builder failure = Failure.newBuilder().setMessage(of(error));
    Duration asked = retryAfter(error);
    if (asked != null && !asked.isNegative() && asked.compareTo(BACKOFF_MAX) <= 0) {
      failure.setRetryAfterMs(asked.toMillis());
    }
    return failure.build();
  }

  static String of(Throwable error) {
    byte[] bytes = textOf(error).getBytes(StandardCharsets.UTF_8);
    int end = Math.min(bytes.length, BYTES_MAX);
    // Continuation bytes of a character begin with the bits 10.
    while (end < bytes.length && (bytes[end] & 0xc0) == 0x80) end -= 1;
    return new String(bytes, 0, end, StandardCharsets.UTF_8);
  }

  /** Both methods are user code, which may throw. The rebuild's exception and its lease matter more. */
  private static String textOf(Throwable error) {
    try {
      String message = error.getMessage();
      return message == null ? Objects.requireNonNull(error.toString()) : message;
    } catch (Throwable fault) {
      return error.getClass().getName();
    }
  }

  /** Null if the exception does not say, or throws when asked. */
  private static Duration retryAfter(Throwable error) {
    try {
      return error instanceof RetryAfter carrier ? carrier.retryAfter() : null;
    } catch (Throwable fault) {
      return null;
    }
  }
}
