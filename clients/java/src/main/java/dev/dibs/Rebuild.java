package dev.dibs;

import java.time.Duration;

/**
 * What a rebuild is told.
 *
 * @param <V> what it makes
 */
public interface Rebuild<V> {
  /**
   * Why the lease was given.
   *
   * @return {@link RebuildReason#LOCAL} where the service could not be reached
   */
  RebuildReason reason();

  /**
   * A number that grows with each lease of the key; give it to the source, if that checks fences.
   *
   * @return 0 if there is none
   */
  long fence();

  /**
   * Whether the value before is known, for a source that can say "not modified".
   *
   * @return false also where the codec cannot read it any more
   */
  boolean hasPrevious();

  /**
   * The value before.
   *
   * @return null where the source had nothing, or none is known: see {@link #hasPrevious()}
   */
  V previous();

  /**
   * Whether the lease is lost: it ran out, or the key was invalidated. The rebuild's thread is interrupted then, and
   * what it returns is thrown away.
   *
   * @return true from the loss on
   */
  boolean isLost();

  /**
   * How long this value is fresh, in place of what the call says: for a source that knows.
   *
   * @param duration 1 ms to 365 days
   */
  void ttl(Duration duration);

  /**
   * How long after its ttl this value may be served stale, in place of what the call says.
   *
   * @param duration 0 to 365 days
   */
  void staleTtl(Duration duration);

  /**
   * Names to invalidate this value by, in place of what the call says.
   *
   * @param names at most 16, each of 1 to 256 bytes
   */
  void tags(String... names);

  /**
   * Leaves this value out of the cache. It is returned to the callers that were there before the lease was given;
   * others ask again.
   */
  void doNotStore();
}
