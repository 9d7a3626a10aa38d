package dev.dibs;

import java.util.List;

/**
 * What is out of date, and what becomes of it.
 *
 * @param namespace empty for the client's
 * @param keys at most 1000, each of 1 to 1024 bytes
 * @param tags at most 16, each of 1 to 256 bytes
 * @param all the whole namespace; {@code keys} and {@code tags} must be empty then
 * @param markStale the values are stale from now on, for the rest of their time; else they are gone
 */
public record Invalidation(String namespace, List<String> keys, List<String> tags, boolean all, boolean markStale) {
  /**
   * Copies the lists.
   *
   * @param namespace empty for the client's
   * @param keys at most 1000, each of 1 to 1024 bytes
   * @param tags at most 16, each of 1 to 256 bytes
   * @param all the whole namespace; {@code keys} and {@code tags} must be empty then
   * @param markStale the values are stale from now on, for the rest of their time; else they are gone
   */
  public Invalidation {
    keys = List.copyOf(keys);
    tags = List.copyOf(tags);
  }

  /**
   * Values by their keys.
   *
   * @param keys at most 1000, each of 1 to 1024 bytes
   * @return drops them
   */
  public static Invalidation ofKeys(String... keys) {
    return new Invalidation("", List.of(keys), List.of(), false, false);
  }

  /**
   * Values that were published with any of these tags.
   *
   * @param tags at most 16, each of 1 to 256 bytes
   * @return drops them
   */
  public static Invalidation ofTags(String... tags) {
    return new Invalidation("", List.of(), List.of(tags), false, false);
  }

  /**
   * All values of the namespace.
   *
   * @return drops them
   */
  public static Invalidation ofAll() {
    return new Invalidation("", List.of(), List.of(), true, false);
  }

  /**
   * The same in another namespace than the client's.
   *
   * @param name at most 64 of {@code [A-Za-z0-9_.-]}
   * @return a copy
   */
  public Invalidation in(String name) {
    return new Invalidation(name, keys, tags, all, markStale);
  }

  /**
   * The same, and the values are only marked stale: they are served meanwhile, for the rest of their stale time.
   *
   * @return a copy
   */
  public Invalidation markingStale() {
    return new Invalidation(namespace, keys, tags, all, true);
  }
}
