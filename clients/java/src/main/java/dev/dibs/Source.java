package dev.dibs;

/**
 * Reads the source, for a rebuild that does not use its lease. A {@link java.util.concurrent.Callable} can be passed as
 * {@code callable::call}.
 *
 * @param <V> type of the value
 * @param <E> the exception that it throws; the compiler infers {@link RuntimeException} if there is no checked one
 */
@FunctionalInterface
public interface Source<V, E extends Exception> {
  /**
   * Computes the value.
   *
   * @return the value; null if the source has no value
   * @throws E as {@link RebuildFunction#rebuild}
   */
  V read() throws E;
}
