package dev.dibs.testing;

import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/** Asynchronous calls, and exceptions that are delivered later. */
final class Later {
  private Later() {}

  static <T> CompletableFuture<T> of(Callable<T> call) {
    CompletableFuture<T> result = new CompletableFuture<>();
    CompletableFuture.runAsync(
        () -> {
          try {
            result.complete(call.call());
          } catch (Throwable error) {
            result.completeExceptionally(error);
          }
        });
    return result;
  }

  /** The value, if there is no error. */
  static <V> V orThrow(V value, Throwable error) throws Exception {
    if (error instanceof Exception exception) throw exception;
    if (error instanceof Error fault) throw fault;
    return value;
  }
}
