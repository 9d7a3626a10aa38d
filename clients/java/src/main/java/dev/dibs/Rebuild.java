package dev.dibs;

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
   * @return 0 where there is none
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
   * Whether the lease is lost: it ran out, or the key was invalidated. The rebuild's thread is interrupted then. What
   * it returns all the same counts for its own caller.
   *
   * @return true from the loss on
   */
  boolean isLost();
}
