package dev.dibs;

import java.util.List;
import java.util.Map;

/**
 * Reads the source for several keys at once, for a rebuild that needs to know nothing of its leases.
 *
 * @param <V> what it makes
 */
@FunctionalInterface
public interface SourceMany<V> {
  /**
   * Makes the values anew.
   *
   * @param keys that are to be rebuilt, each once
   * @return the values by key; a key that is left out, or has null, is one of which the source has nothing
   * @throws Exception that is the error of each of these keys, as {@link RebuildFunction#rebuild}
   */
  Map<String, ? extends V> read(List<String> keys) throws Exception;
}
