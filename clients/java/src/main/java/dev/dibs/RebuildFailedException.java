package dev.dibs;

import java.time.Duration;

/**
 * Another caller's rebuild failed, and the key's back-off runs for {@link #retryAfter()}. The message is what that
 * caller said.
 */
public final class RebuildFailedException extends DibsException {
  private static final long serialVersionUID = 1L;

  /**
   * For the client, and for doubles of it.
   *
   * @param message what the caller said whose rebuild failed
   * @param retryAfter how long the back-off still runs
   */
  public RebuildFailedException(String message, Duration retryAfter) {
    super(message, retryAfter, null);
  }
}
