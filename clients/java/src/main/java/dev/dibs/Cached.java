package dev.dibs;

/**
 * What is cached under a key.
 *
 * @param <V> type of the values
 * @param value null if the source is known to have nothing
 * @param freshness of the value
 */
public record Cached<V>(V value, Freshness freshness) {
  /**
   * Whether the source is known to have nothing.
   *
   * @return true if {@link #value()} is null
   */
  public boolean isAbsent() {
    return value == null;
  }
}
