package dev.dibs;

/**
 * Reads the source.
 *
 * @param <V> type of the value
 * @param <E> the exception that it throws; the compiler infers {@link RuntimeException} if there is no checked one
 */
@FunctionalInterface
public interface RebuildFunction<V, E extends Exception> {
  /**
   * Computes the value. The thread is interrupted when the lease is lost or no caller is left.
   *
   * @param rebuild what this run knows and controls
   * @return the value; null if the source has no value
   * @throws E passed to the caller unchanged, and to the waiters as its message, up to 4096 bytes: include no secrets.
   *     A {@link RetryAfter} tells how long to leave the source alone.
   */
  V rebuild(Rebuild<V> rebuild) throws E;
}
