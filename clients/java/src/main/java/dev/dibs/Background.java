package dev.dibs;

import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The work that no caller waits for: rebuilds behind stale values, and publishes that are repeated. */
final class Background {
  private final Set<CompletableFuture<Void>> underWay = ConcurrentHashMap.newKeySet();

  /** Completing the result ends the work. */
  CompletableFuture<Void> begin() {
    CompletableFuture<Void> work = new CompletableFuture<>();
    underWay.add(work);
    work.whenComplete((done, error) -> underWay.remove(work));
    return work;
  }

  /** Waits until all that is under way has ended; false where that takes longer. */
  boolean await(Duration timeout) throws InterruptedException {
    CompletableFuture<Void> all = CompletableFuture.allOf(underWay.toArray(CompletableFuture[]::new));
    try {
      // The longest that there is, for what has more.
      all.get(TimeUnit.NANOSECONDS.convert(timeout), TimeUnit.NANOSECONDS);
      return true;
    } catch (TimeoutException error) {
      return false;
    } catch (ExecutionException error) {
      // Their ends are never failures.
      throw new AssertionError(error);
    }
  }
}
