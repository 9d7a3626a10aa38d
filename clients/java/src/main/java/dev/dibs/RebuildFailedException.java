package dev.dibs;

import java.time.Duration;

/**
 * Another caller's rebuild failed, and the key's back-off runs for {@link #retryAfter()}. The message is what that
 * caller said. If that caller is of this process, the cause is what its rebuild threw.
 */
public final class RebuildFailedException extends DibsException {
  private static final long serialVersionUID = 1L;

  /**
   * For a caller that has joined a rebuild of its own process.
   *
   * @param message what the caller said whose rebuild failed
   * @param retryAfter how long the back-off still runs; null where that is not known
   * @param cause what the rebuild threw; null where it was another process's
   */
  public RebuildFailedException(String message, Duration retryAfter, Throwable cause) {
    super(message, retryAfter, cause);
  }

  /**
   * For the client, and for doubles of it.
   *
   * @param message what the caller said whose rebuild failed
   * @param retryAfter how long the back-off still runs
   */
  public RebuildFailedException(String message, Duration retryAfter) {
    this(message, retryAfter, null);
  }
}
