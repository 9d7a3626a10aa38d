package dev.dibs;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** When the values of one namespace have changed, by tag and as a whole, as counts of the changes that were heard. */
final class WatchedNamespace {
  /** Beyond so many tags the count of the last one stands for all that are forgotten. */
  private static final int TAGS_MAX = 10_000;

  private final Map<String, Long> tags = new ConcurrentHashMap<>();
  private volatile long wholeAt;
  private volatile long tagAt;
  private volatile long forgottenAt;

  /** Written by one thread at a time. */
  void whole(long change) {
    wholeAt = change;
    // An older value is void already, and a newer one was asked for after these.
    tags.clear();
  }

  /** Written by one thread at a time. */
  void tag(String tag, long change) {
    if (tags.size() >= TAGS_MAX) {
      forgottenAt = tagAt;
      tags.clear();
    }
    tags.put(tag, change);
    // Last, for it is read first.
    tagAt = change;
  }

  /** Whether a value has changed that was asked for after this change; {@code names} is null where they are not known. */
  boolean hasChanged(List<String> names, long change) {
    if (change < wholeAt) return true;
    if (change >= tagAt) return false;
    if (names == null) return true;
    if (names.isEmpty()) return false;
    if (change < forgottenAt) return true;
    for (String name : names) {
      Long at = tags.get(name);
      if (at != null && change < at) return true;
    }
    return false;
  }
}
