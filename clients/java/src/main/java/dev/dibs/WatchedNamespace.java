package dev.dibs;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** When the values of one namespace have changed, by tag and as a whole, as numbers of the changes received. */
final class WatchedNamespace {
  /** Beyond this many tags, the number of the last change stands for all forgotten tags. */
  private static final int TAGS_MAX = 10_000;

  private final Map<String, Long> tags = new ConcurrentHashMap<>();
  private volatile long wholeAt;
  private volatile long tagAt;
  private volatile long forgottenAt;

  /** Written by one thread at a time. */
  void whole(long change) {
    wholeAt = change;
    // Older values are already void, and newer ones were requested after these.
    tags.clear();
  }

  /** Written by one thread at a time. */
  void tag(String tag, long change) {
    if (tags.size() >= TAGS_MAX) {
      forgottenAt = tagAt;
      tags.clear();
    }
    tags.put(tag, change);
    // Last, because it is read first.
    tagAt = change;
  }

  /** Whether a value requested after this change has changed since; {@code names} is null if its tags are unknown. */
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
    // Another thread may have cleared the tags during the search. It has written these two before.
    return change < wholeAt || change < forgottenAt;
  }
}
