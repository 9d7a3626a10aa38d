package dev.dibs;

import java.time.Duration;
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

  /** Waits until all work in progress has ended; false on timeout. */
  boolean await(Duration timeout) throws InterruptedException {
    CompletableFuture<Void> all = CompletableFuture.allOf(underWay.toArray(CompletableFuture[]::new));
    try {
      // The maximum, for a timeout that does not fit.
      all.get(TimeUnit.NANOSECONDS.convert(timeout), TimeUnit.NANOSECONDS);
      return true;
    } catch (TimeoutException error) {
      return false;
    } catch (ExecutionException error) {
      // These futures never fail.
      throw new AssertionError(error);
    }
  }
}
