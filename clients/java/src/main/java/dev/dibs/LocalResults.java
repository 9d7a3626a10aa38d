package dev.dibs;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Predicate;

/** What this process has rebuilt by itself, for a few seconds and within a bound of bytes. */
final class LocalResults {
  /** Some hundred values of the usual size a second, for as long as they are kept. */
  private static final long BYTES_MAX = 16 << 20;

  /** What an entry takes beside its value, at least. */
  private static final int ENTRY_BYTES = 128;

  private record Kept(ByteString bytes, long untilNanos) {
    long size() {
      return ENTRY_BYTES + (bytes == null ? 0 : bytes.size());
    }
  }

  /** The oldest first. */
  private final Map<FullKey, Kept> kept = new LinkedHashMap<>();

  private long sizeBytes;
  private long generation;

  /** Null if nothing is kept. */
  synchronized Found of(FullKey key) {
    Kept one = kept.get(key);
    if (one == null) return null;
    if (one.untilNanos() - System.nanoTime() > 0) return new Found(one.bytes(), false);
    drop(key);
    return null;
  }

  /** Of the moment: what was begun before the last change is not kept after it. */
  synchronized long generation() {
    return generation;
  }

  synchronized void keep(FullKey key, ByteString bytes, Duration time, long begunIn) {
    Kept one = new Kept(bytes, System.nanoTime() + time.toNanos());
    if (begunIn != generation || one.size() > BYTES_MAX) return;
    drop(key);
    kept.put(key, one);
    sizeBytes += one.size();
    while (sizeBytes > BYTES_MAX) drop(kept.keySet().iterator().next());
  }

  synchronized void clear() {
    generation += 1;
    kept.clear();
    sizeBytes = 0;
  }

  /** Some of the values have changed. What was begun before is not kept either, of whichever key. */
  synchronized void changed(Predicate<FullKey> isChanged) {
    generation += 1;
    kept.keySet().stream().filter(isChanged).toList().forEach(this::drop);
  }

  private void drop(FullKey key) {
    Kept one = kept.remove(key);
    if (one != null) sizeBytes -= one.size();
  }
}
