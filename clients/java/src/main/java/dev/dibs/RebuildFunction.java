package dev.dibs;

/**
 * Reads the source.
 *
 * @param <V> what it makes
 * @param <E> what it throws; the compiler finds {@link RuntimeException} for one that throws nothing checked
 */
@FunctionalInterface
public interface RebuildFunction<V, E extends Exception> {
  /**
   * Makes the value anew. Its thread is interrupted when the lease is lost, or when its last caller has left.
   *
   * @param rebuild what is known of this run
   * @return the value; null where the source has nothing
   * @throws E that the caller gets as it is, and the waiters as its message, up to 4096 bytes: nothing secret.
   *     One that is a {@link RetryAfter} says how long the source is to be left alone.
   */
  V rebuild(Rebuild<V> rebuild) throws E;
}
