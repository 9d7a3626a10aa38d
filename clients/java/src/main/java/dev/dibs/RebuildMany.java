package dev.dibs;

/**
 * What a rebuild of several keys is told.
 *
 * @param <V> what it makes
 */
public interface RebuildMany<V> {
  /**
   * Of one key: why it is rebuilt, what is known of it, and how its value is stored.
   *
   * @param key one of those that are rebuilt
   * @return as for a rebuild of this key alone
   * @throws IllegalArgumentException for another key
   */
  Rebuild<V> of(String key);
}
