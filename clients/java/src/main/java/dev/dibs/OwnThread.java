package dev.dibs;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * Runs the steps of a blocking call on its caller's thread, which waits anyway: all threads of the client's executor
 * may be taken by callers that wait.
 */
final class OwnThread implements Executor {
  private final BlockingQueue<Runnable> steps = new LinkedBlockingQueue<>();

  @Override
  public void execute(Runnable step) {
    steps.add(step);
  }

  /** Returns early, with the interrupt flag set, if the thread is interrupted. */
  void runUntil(CompletableFuture<?> end) {
    end.whenComplete((value, error) -> steps.add(() -> {}));
    try {
      while (!end.isDone()) steps.take().run();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }
}
