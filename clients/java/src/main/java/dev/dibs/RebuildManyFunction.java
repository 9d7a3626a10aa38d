package dev.dibs;

import java.util.List;
import java.util.Map;

/**
 * Reads the source for several keys at once.
 *
 * @param <V> what it makes
 */
@FunctionalInterface
public interface RebuildManyFunction<V> {
  /**
   * Makes the values anew. Its thread is interrupted when all leases are lost, or when no caller waits any more.
   *
   * @param keys that are to be rebuilt, each once
   * @param rebuild what is known of this run
   * @return the values by key; a key that is left out, or has null, is one of which the source has nothing
   * @throws Exception that is the error of each of these keys, as {@link RebuildFunction#rebuild}
   */
  Map<String, ? extends V> rebuild(List<String> keys, RebuildMany<V> rebuild) throws Exception;
}
