package dev.dibs;

import java.time.Duration;

/**
 * Another caller's rebuild failed, and the key's back-off lasts for {@link #retryAfter()}. The message comes from that
 * caller. If the caller is in this process, the cause is the exception of its rebuild.
 */
public final class RebuildFailedException extends DibsException {
  private static final long serialVersionUID = 1L;

  /**
   * For a caller that joined a rebuild of its own process.
   *
   * @param message from the caller whose rebuild failed
   * @param retryAfter the remaining back-off; null if that is not known
   * @param cause what the rebuild threw; null if it was another process's
   */
  public RebuildFailedException(String message, Duration retryAfter, Throwable cause) {
    super(message, retryAfter, cause);
  }

  /**
   * For the client, and for test doubles of it.
   *
   * @param message from the caller whose rebuild failed
   * @param retryAfter the remaining back-off
   */
  public RebuildFailedException(String message, Duration retryAfter) {
    this(message, retryAfter, null);
  }
}
