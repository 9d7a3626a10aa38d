package dev.dibs;

/**
 * Reads the source, for a rebuild that needs to know nothing of its lease. A {@link java.util.concurrent.Callable} is one
 * as {@code callable::call}.
 *
 * @param <V> what it makes
 * @param <E> what it throws; the compiler finds {@link RuntimeException} for one that throws nothing checked
 */
@FunctionalInterface
public interface Source<V, E extends Exception> {
  /**
   * Makes the value anew.
   *
   * @return the value; null where the source has nothing
   * @throws E as {@link RebuildFunction#rebuild}
   */
  V read() throws E;
}
