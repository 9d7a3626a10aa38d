package dev.dibs;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Work that no caller waits for: rebuilds of stale values, and repeated publishes. */
final class Background {
  private final Set<CompletableFuture<Void>> underWay = ConcurrentHashMap.newKeySet();

  /** Completing the result ends the work. */
  CompletableFuture<Void> begin() {
    CompletableFuture<Void> work = new CompletableFuture<>();
    underWay.add(work);
    work.whenComplete((done, error) -> underWay.remove(work));
    return work;
  }

  /** Waits until no work is in progress, with what begins meanwhile; false on timeout. */
  boolean await(Duration timeout) throws InterruptedException {
    // The maximum, for a timeout that does not fit.
    long timeoutNanos = TimeUnit.NANOSECONDS.convert(timeout);
    long beganNanos = System.nanoTime();
    while (!underWay.isEmpty()) {
      List<CompletableFuture<Void>> these = List.copyOf(underWay);
      long leftNanos = Math.max(0, timeoutNanos - (System.nanoTime() - beganNanos));
      try {
        CompletableFuture.allOf(these.toArray(CompletableFuture[]::new)).get(leftNanos, TimeUnit.NANOSECONDS);
      } catch (TimeoutException error) {
        return false;
      } catch (ExecutionException error) {
        // These futures never fail.
        throw new AssertionError(error);
      }
      // This may happen before each removes itself.
      underWay.removeAll(these);
    }
    return true;
  }
}
