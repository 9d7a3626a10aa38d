package dev.dibs.testing;

import java.time.Duration;
import java.util.List;

/** The entry of a key. The bytes are null if the source had no value. */
record Entry(byte[] bytes, Duration freshUntil, Duration staleUntil, List<String> tags) {
  /** Stale since that time. Its stale time counts from then on, or continues if it was stale before. */
  Entry stale(Duration since) {
    Duration until = since.plus(staleUntil.minus(freshUntil));
    return new Entry(bytes, earlier(freshUntil, since), earlier(staleUntil, until), tags);
  }

  private static Duration earlier(Duration one, Duration other) {
    return one.compareTo(other) < 0 ? one : other;
  }
}
