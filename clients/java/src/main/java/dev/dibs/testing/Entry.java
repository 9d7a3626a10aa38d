package dev.dibs.testing;

import java.time.Duration;
import java.util.List;

/** What is kept of a key. The bytes are null where the source had nothing. */
record Entry(byte[] bytes, Duration freshUntil, Duration staleUntil, List<String> tags) {
  Entry stale(Duration now) {
    return new Entry(bytes, freshUntil.compareTo(now) < 0 ? freshUntil : now, staleUntil, tags);
  }
}
