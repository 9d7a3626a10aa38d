package dev.dibs;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.function.Function;

/** Helpers for futures. */
final class Futures {
  private Futures() {}

  /** Completes a future as another one has completed, with the exception itself and not a wrapper. */
  static <T> void settle(CompletableFuture<T> future, T value, Throwable error) {
    if (error == null) future.complete(value);
    else future.completeExceptionally(cause(error));
  }

  /** Applies {@code read} on a thread of {@code executor}: what follows is user code and may take long. */
  static <T, R> CompletableFuture<R> on(Executor executor, CompletableFuture<T> future, Function<T, R> read) {
    CompletableFuture<R> result = new CompletableFuture<>();
    future
        .thenApplyAsync(read, executor)
        .whenComplete((value, error) -> settle(result, value, error));
    return result;
  }

  /**
   * Waits. Throws the checked exceptions that a rebuild of the class {@code writtenAs} declares, and no other checked
   * exceptions; the class is null if there is no rebuild.
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
