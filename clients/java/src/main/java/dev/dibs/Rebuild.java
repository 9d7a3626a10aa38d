package dev.dibs;

import java.time.Duration;

/**
 * What a rebuild knows and controls.
 *
 * @param <V> type of the value
 */
public interface Rebuild<V> {
  /**
   * Why the lease was granted.
   *
   * @return {@link RebuildReason#LOCAL} if the service cannot be reached
   */
  RebuildReason reason();

  /**
   * A number that grows with each lease of the key; pass it to the source if that checks fencing tokens.
   *
   * @return 0 if there is none
   */
  long fence();

  /**
   * Whether the previous value is known, for a source that supports "not modified".
   *
   * @return false also if the codec can no longer decode it
   */
  boolean hasPrevious();

  /**
   * The previous value.
   *
   * @return null if the source had no value, or none is known: see {@link #hasPrevious()}
   */
  V previous();

  /**
   * Whether the lease is lost: it expired, or the key was invalidated. The rebuild's thread is then interrupted, and
   * its result is dropped.
   *
   * @return true from the loss on
   */
  boolean isLost();

  /**
   * Sets how long this value is fresh, instead of the call's ttl: for a source that knows.
   *
   * @param duration 1 ms to 365 days
   */
  void ttl(Duration duration);

  /**
   * Sets how long this value may be served stale after its ttl, instead of the call's stale ttl.
   *
   * @param duration 0 to 365 days
   */
  void staleTtl(Duration duration);

  /**
   * Sets the tags to invalidate this value by, instead of the call's tags.
   *
   * @param names at most 16, each of 1 to 256 bytes
   */
  void tags(String... names);

  /**
   * Keeps this value out of the cache. It is returned to callers that asked before the lease was granted; others ask
   * again.
   */
  void doNotStore();
}
