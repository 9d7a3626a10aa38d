package dev.dibs;

import java.util.List;
import java.util.Map;

/**
 * Reads the source for several keys at once.
 *
 * @param <V> type of the value
 */
@FunctionalInterface
public interface RebuildManyFunction<V> {
  /**
   * Computes the values. The thread is interrupted when all leases are lost or no caller is left.
   *
   * @param keys the keys to rebuild, each once
   * @param rebuild what this run knows and controls
   * @return the values by key; omitted or null for keys for which the source has no value
   * @throws Exception the error of each of these keys, as {@link RebuildFunction#rebuild}
   */
  Map<String, ? extends V> rebuild(List<String> keys, RebuildMany<V> rebuild) throws Exception;
}
