package dev.dibs.testing;

import java.time.Duration;
import java.util.List;

/** The entry of a key. The bytes are null if the source had no value. */
record Entry(byte[] bytes, Duration freshUntil, Duration staleUntil, List<String> tags) {
  Entry stale(Duration now) {
    return new Entry(bytes, freshUntil.compareTo(now) < 0 ? freshUntil : now, staleUntil, tags);
  }
}
