package dev.dibs;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Predicate;

/** Values that this process rebuilt by itself, kept for a few seconds, with a limit in bytes. */
final class LocalResults {
  /** Enough for some hundred values of typical size per second. */
  private static final long BYTES_MAX = 16 << 20;

  /** The minimum size of an entry, without its value. */
  private static final int ENTRY_BYTES = 128;

  private record Kept(ByteString bytes, long untilNanos) {
    long size() {
      return ENTRY_BYTES + (bytes == null ? 0 : bytes.size());
    }
  }

  /** Oldest first. */
  private final Map<FullKey, Kept> kept = new LinkedHashMap<>();

  private long sizeBytes;

  /** Null if nothing is kept. */
  synchronized Found of(FullKey key) {
    Kept one = kept.get(key);
    if (one == null) return null;
    if (one.untilNanos() - System.nanoTime() > 0) return new Found(one.bytes(), false);
    drop(key);
    return null;
  }

  synchronized void keep(FullKey key, ByteString bytes, Duration time) {
    Kept one = new Kept(bytes, System.nanoTime() + time.toNanos());
    if (one.size() > BYTES_MAX) return;
    drop(key);
    kept.put(key, one);
    sizeBytes += one.size();
    while (sizeBytes > BYTES_MAX) drop(kept.keySet().iterator().next());
  }

  synchronized void clear() {
    kept.clear();
    sizeBytes = 0;
  }

  synchronized void changed(Predicate<FullKey> isChanged) {
    kept.keySet().stream().filter(isChanged).toList().forEach(this::drop);
  }

  private void drop(FullKey key) {
    Kept one = kept.remove(key);
    if (one != null) sizeBytes -= one.size();
  }
}
