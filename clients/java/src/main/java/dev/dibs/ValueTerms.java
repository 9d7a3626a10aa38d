package dev.dibs;

import java.time.Duration;
import java.util.List;

/** A rebuild's settings for its own value, which override those of the call. Null if not set. */
final class ValueTerms {
  private Duration ttl;
  private Duration staleTtl;
  private List<String> tags;
  private boolean unstored;

  synchronized void ttl(Duration duration) {
    ttl = duration;
  }

  synchronized void staleTtl(Duration duration) {
    staleTtl = duration;
  }

  synchronized void tags(List<String> names) {
    tags = List.copyOf(names);
  }

  synchronized void doNotStore() {
    unstored = true;
  }

  /** Throws for settings out of bounds, only once there is a value that must not be lost because of that. */
  synchronized void refuseBroken() {
    if (ttl != null) Bounds.ttl(ttl);
    if (staleTtl != null) Bounds.staleTtl(staleTtl);
    if (tags != null) Bounds.tags(tags);
  }

  synchronized boolean isUnstored() {
    return unstored;
  }

  synchronized Duration ttl(Options<?> options, boolean isAbsent) {
    if (ttl != null) return ttl;
    return isAbsent ? options.absentTtl() : options.ttl();
  }

  /** Null for the namespace's policy. */
  synchronized Duration staleTtl(Options<?> options) {
    return staleTtl == null ? options.staleTtl() : staleTtl;
  }

  synchronized List<String> tags(Options<?> options) {
    return tags == null ? options.tags() : tags;
  }
}
