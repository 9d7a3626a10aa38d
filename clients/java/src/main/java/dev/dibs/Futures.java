package dev.dibs;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.function.Function;

/** What the futures of this package have in common. */
final class Futures {
  private Futures() {}

  /** Ends a future as another one has ended, with the failure itself and not with a wrapper of it. */
  static <T> void settle(CompletableFuture<T> future, T value, Throwable error) {
    if (error == null) future.complete(value);
    else future.completeExceptionally(cause(error));
  }

  /** What {@code read} makes of it on a thread of {@code executor}: what follows is the user's and may take its time. */
  static <T, R> CompletableFuture<R> on(Executor executor, CompletableFuture<T> future, Function<T, R> read) {
    CompletableFuture<R> result = new CompletableFuture<>();
    future
        .thenApplyAsync(read, executor)
        .whenComplete((value, error) -> settle(result, value, error));
    return result;
  }

  /**
   * Waits. Throws what a rebuild of the class {@code writtenAs} declares, and nothing else that is checked; the class is
   * null where there is none.
   */
  static <T> T await(CompletableFuture<T> future, Class<?> writtenAs) {
    try {
      return future.get();
    } catch (InterruptedException error) {
      future.cancel(false);
      Thread.currentThread().interrupt();
      throw DibsStatusException.cancelled("the caller was interrupted");
    } catch (ExecutionException error) {
      throw Thrown.unchecked(Thrown.to(writtenAs, error.getCause()));
    }
  }

  static Throwable cause(Throwable error) {
    return error instanceof CompletionException && error.getCause() != null ? error.getCause() : error;
  }
}
