package dev.dibs;

import java.util.List;

/**
 * What to invalidate, and how.
 *
 * @param namespace empty for the client's
 * @param keys at most 1000, each of 1 to 1024 bytes
 * @param tags at most 16, each of 1 to 256 bytes
 * @param all the whole namespace; {@code keys} and {@code tags} must be empty then
 * @param markStale true to mark the values stale, from now on for their stale time; false to drop them
 */
public record Invalidation(String namespace, List<String> keys, List<String> tags, boolean all, boolean markStale) {
  /**
   * Copies the lists.
   *
   * @param namespace empty for the client's
   * @param keys at most 1000, each of 1 to 1024 bytes
   * @param tags at most 16, each of 1 to 256 bytes
   * @param all the whole namespace; {@code keys} and {@code tags} must be empty then
   * @param markStale true to mark the values stale, from now on for their stale time; false to drop them
   */
  public Invalidation {
    keys = List.copyOf(keys);
    tags = List.copyOf(tags);
  }

  /**
   * Invalidates values by key.
   *
   * @param keys at most 1000, each of 1 to 1024 bytes
   * @return an invalidation that drops them
   */
  public static Invalidation ofKeys(String... keys) {
    return new Invalidation("", List.of(keys), List.of(), false, false);
  }

  /**
   * Invalidates values that were published with any of these tags.
   *
   * @param tags at most 16, each of 1 to 256 bytes
   * @return an invalidation that drops them
   */
  public static Invalidation ofTags(String... tags) {
    return new Invalidation("", List.of(), List.of(tags), false, false);
  }

  /**
   * Invalidates all values of the namespace.
   *
   * @return an invalidation that drops them
   */
  public static Invalidation ofAll() {
    return new Invalidation("", List.of(), List.of(), true, false);
  }

  /**
   * The same in a namespace other than the client's.
   *
   * @param name at most 64 of {@code [A-Za-z0-9_.-]}
   * @return a copy
   */
  public Invalidation in(String name) {
    return new Invalidation(name, keys, tags, all, markStale);
  }

  /**
   * The same, but values are only marked stale: they are still served, for the rest of their stale time.
   *
   * @return a copy
   */
  public Invalidation markingStale() {
    return new Invalidation(namespace, keys, tags, all, true);
  }
}
