package dev.dibs.testing;

import dev.dibs.Codec;
import dev.dibs.DibsStatusException;
import dev.dibs.Invalidation;
import dev.dibs.Rebuild;
import dev.dibs.RebuildFailedException;
import dev.dibs.RebuildReason;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** One rebuild in memory, and the callers that wait for it. */
final class Flight {
  private final long fence;
  private final RebuildReason reason;
  private final Thread thread = Thread.currentThread();
  private List<String> tags;
  private Duration ttl;
  private Duration staleTtl;
  private boolean unstored;
  private final CompletableFuture<byte[]> result = new CompletableFuture<>();
  private volatile boolean lost;

  /** An invalidation by tags, or of everything. */
  private record Change(Invalidation what, Duration at) {
    boolean reaches(List<String> tags) {
      return what.all() || what.tags().stream().anyMatch(tags::contains);
    }
  }

  /** The changes of its namespace while it ran. Guarded by the lock of the double. */
  private final List<Change> changes = new ArrayList<>();

  Flight(long fence, RebuildReason reason, List<String> tags) {
    this.fence = fence;
    this.reason = reason;
    this.tags = tags;
  }

  /** Whether the rebuild runs on this thread. */
  boolean isOf(Thread other) {
    return thread == other;
  }

  List<String> tags() {
    return tags;
  }

  Duration ttl(Duration otherwise) {
    return ttl == null ? otherwise : ttl;
  }

  Duration staleTtl(Duration otherwise) {
    return staleTtl == null ? otherwise : staleTtl;
  }

  CompletableFuture<byte[]> result() {
    return result;
  }

  /**
   * Waits for the bytes of its value. A checked exception of the rebuild is the cause of what its other callers get:
   * they may not declare it.
   */
  byte[] await() {
    if (isSuccess()) return result.join();
    Throwable error = result.handle((bytes, thrown) -> thrown).join();
    if (error instanceof RuntimeException cause) throw cause;
    throw new RebuildFailedException(String.valueOf(error.getMessage()), null, error);
  }

  /** Waits for its end. */
  boolean isSuccess() {
    try {
      result.get();
      return true;
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new DibsStatusException(Status.Code.CANCELLED, "the caller was interrupted");
    } catch (ExecutionException error) {
      return false;
    }
  }

  boolean isLost() {
    return lost;
  }

  /** Whether a caller may join: not if it began before an invalidation. */
  boolean isOpen() {
    return !lost && changes.isEmpty();
  }

  /** Which tags its value has is known when it ends. */
  void invalidate(Invalidation what, Duration now) {
    if (what.all() || !what.tags().isEmpty()) changes.add(new Change(what, now));
  }

  /** Whether its value is stored. */
  boolean counts() {
    return !lost && !unstored && changes.stream().noneMatch(one -> !one.what().markStale() && one.reaches(tags));
  }

  /** Its value, stale since the first mark while it ran. */
  Entry marked(Entry made) {
    for (Change one : changes) if (one.reaches(tags)) made = made.stale(one.at());
    return made;
  }

  /** A newer value is on its way; {@code before} is null if nothing was running. */
  static void supersede(Flight before) {
    if (before != null) before.lose();
  }

  void lose() {
    lost = true;
  }

  <V> Rebuild<V> context(Codec<V> codec, boolean hasPrevious, byte[] bytes) {
    V previous = bytes == null ? null : codec.decode(bytes.clone());
    return new Rebuild<>() {
      @Override
      public RebuildReason reason() {
        return reason;
      }

      @Override
      public long fence() {
        return fence;
      }

      @Override
      public boolean hasPrevious() {
        return hasPrevious;
      }

      @Override
      public V previous() {
        return previous;
      }

      @Override
      public boolean isLost() {
        return lost;
      }

      @Override
      public void ttl(Duration duration) {
        ttl = duration;
      }

      @Override
      public void staleTtl(Duration duration) {
        staleTtl = duration;
      }

      @Override
      public void tags(String... names) {
        tags = List.of(names);
      }

      @Override
      public void doNotStore() {
        unstored = true;
      }
    };
  }
}
