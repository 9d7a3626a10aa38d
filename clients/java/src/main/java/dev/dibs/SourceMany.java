package dev.dibs;

import java.util.List;
import java.util.Map;

/**
 * Reads the source for several keys at once, for a rebuild that does not use its leases.
 *
 * @param <V> type of the value
 */
@FunctionalInterface
public interface SourceMany<V> {
  /**
   * Computes the values.
   *
   * @param keys the keys to rebuild, each once
   * @return the values by key; omitted or null for keys for which the source has no value
   * @throws Exception the error of each of these keys, as {@link RebuildFunction#rebuild}
   */
  Map<String, ? extends V> read(List<String> keys) throws Exception;
}
