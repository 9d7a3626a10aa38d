package dev.dibs;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;

/** What the futures of this package have in common. */
final class Futures {
  private Futures() {}

  /** Ends a future as another one has ended, with the failure itself and not with a wrapper of it. */
  static <T> void settle(CompletableFuture<T> future, T value, Throwable error) {
    if (error == null) future.complete(value);
    else future.completeExceptionally(cause(error));
  }

  /** The same on a thread of {@code executor}, for what follows is the user's and may take its time. */
  static <T> CompletableFuture<T> on(Executor executor, CompletableFuture<T> future) {
    CompletableFuture<T> result = new CompletableFuture<>();
    future.whenCompleteAsync((value, error) -> settle(result, value, error), executor);
    return result;
  }

  static Throwable cause(Throwable error) {
    return error instanceof CompletionException && error.getCause() != null ? error.getCause() : error;
  }
}
