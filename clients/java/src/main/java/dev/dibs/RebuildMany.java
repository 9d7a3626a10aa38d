package dev.dibs;

/**
 * What a rebuild of several keys knows and controls.
 *
 * @param <V> type of the value
 */
public interface RebuildMany<V> {
  /**
   * For one key: why it is rebuilt, its previous value, and how the new one is stored.
   *
   * @param key one of those that are rebuilt
   * @return as for a rebuild of this key alone
   * @throws IllegalArgumentException for another key
   */
  Rebuild<V> of(String key);
}
