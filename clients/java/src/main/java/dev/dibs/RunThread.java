package dev.dibs;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;

/** Runs user code once, on a thread that can be interrupted. */
final class RunThread<T> {
  /** How long a run may wait for its start, even if its caller does not wait. */
  private static final long BEGIN_NANOS_MIN = Duration.ofSeconds(2).toNanos();

  private final Callable<T> code;
  private final Class<?> writtenAs;
  private final CompletableFuture<T> result = new CompletableFuture<>();

  /** Null before and after the run. */
  private Thread thread;

  private boolean begun;
  private boolean withdrawn;
  private boolean stopped;

  /** {@code writtenAs} is the class of the user's code. */
  RunThread(Callable<T> code, Class<?> writtenAs) {
    this.code = code;
    this.writtenAs = writtenAs;
  }

  /**
   * Runs on a thread of {@code executor}, which must be available within {@code waitNanos}: an executor whose threads
   * are all taken by callers that wait for their rebuilds has none left for the rebuilds, and would deadlock. Fails
   * with {@link Thrown}, or with {@link Run.NotBegunException}.
   */
  CompletableFuture<T> start(Executor executor, long waitNanos) {
    Duration patience = Duration.ofNanos(Math.max(BEGIN_NANOS_MIN, waitNanos));
    Future<?> timer = Threads.after(patience, () -> withdraw(patience));
    result.whenComplete((value, error) -> timer.cancel(false));
    try {
      executor.execute(this::run);
    } catch (Throwable error) {
      result.completeExceptionally(
          new Run.NotBegunException("executor: it refused the rebuild: " + error, error));
    }
    return result;
  }

  /** Interrupts the run; one that has not started yet is interrupted when it starts. */
  synchronized void stop() {
    stopped = true;
    if (thread != null) thread.interrupt();
  }

  private void withdraw(Duration patience) {
    synchronized (this) {
      if (begun) return;
      withdrawn = true;
    }
    result.completeExceptionally(
        new Run.NotBegunException(
            "executor: none of its threads began the rebuild within %d ms; give the client an executor whose threads do"
                    .formatted(patience.toMillis())
                + " not wait for rebuilds",
            null));
  }

  private void run() {
    if (!enter()) return;
    T value;
    try {
      value = code.call();
    } catch (Throwable error) {
      leave();
      result.completeExceptionally(new Thrown(error, writtenAs));
      return;
    }
    leave();
    result.complete(value);
  }

  private synchronized boolean enter() {
    if (withdrawn) return false;
    begun = true;
    thread = Thread.currentThread();
    if (stopped) thread.interrupt();
    return true;
  }

  /** The thread goes on to other work, which must not be interrupted. */
  private synchronized void leave() {
    thread = null;
    Thread.interrupted();
  }
}
