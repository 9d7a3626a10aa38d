package dev.dibs;

import dev.dibs.v1.ExtendOutcome;
import dev.dibs.v1.ExtendResponse;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * Keeps a lease while its rebuild runs: extends it every third of what is left, so that two extensions in a row may be
 * lost. Tells once when the lease is over: the service says so, or no extension came in time.
 */
final class LeaseKeeper {
  private static final long THIRD_NANOS_MIN = TimeUnit.MILLISECONDS.toNanos(5);

  /** What an extension may take where the lease leaves it the time: a try that hangs must not cost the next ones. */
  private static final long EXTEND_NANOS = TimeUnit.SECONDS.toNanos(2);

  private final Function<Duration, CompletableFuture<ExtendResponse>> extend;
  private final Runnable onLost;
  private long endsAtNanos;
  private Future<?> timer;
  private boolean stopped;
  private boolean lost;

  /** {@code extend} makes one attempt, which fails where it is not answered within the time that it is given. */
  LeaseKeeper(Duration expiresIn, Function<Duration, CompletableFuture<ExtendResponse>> extend, Runnable onLost) {
    this.extend = extend;
    this.onLost = onLost;
    this.endsAtNanos = System.nanoTime() + expiresIn.toNanos();
  }

  synchronized void start() {
    if (stopped) return;
    long leftNanos = endsAtNanos - System.nanoTime();
    // Below a few milliseconds a third is no time: the end is near, and is told when it comes.
    long pauseNanos = Math.max(0, Math.min(leftNanos, Math.max(THIRD_NANOS_MIN, leftNanos / 3)));
    timer = Threads.after(Duration.ofNanos(pauseNanos), this::extend);
  }

  synchronized void stop() {
    stopped = true;
    if (timer != null) timer.cancel(false);
  }

  synchronized boolean isLost() {
    return lost;
  }

  /** The lease is over. */
  void lose() {
    synchronized (this) {
      if (stopped) return;
      stop();
      lost = true;
    }
    onLost.run();
  }

  private void extend() {
    long askedAtNanos = System.nanoTime();
    long leftNanos;
    synchronized (this) {
      leftNanos = endsAtNanos - askedAtNanos;
    }
    if (leftNanos <= 0) {
      lose();
      return;
    }
    // A try that hangs ends with the lease, so that the loss is told then and not later.
    extend
        .apply(Duration.ofNanos(Math.min(EXTEND_NANOS, leftNanos)))
        .whenComplete((response, error) -> extended(response, error, askedAtNanos));
  }

  private void extended(ExtendResponse response, Throwable error, long askedAtNanos) {
    if (isOver(response, error)) {
      lose();
      return;
    }
    if (error == null && response.getOutcome() == ExtendOutcome.EXTEND_OUTCOME_EXTENDED) {
      synchronized (this) {
        endsAtNanos = askedAtNanos + TimeUnit.MILLISECONDS.toNanos(response.getExpiresInMs());
      }
    }
    start();
  }

  /** Not answered is not lost: the lease still has its end, and the next third brings another try. */
  private static boolean isOver(ExtendResponse response, Throwable error) {
    if (error != null) return DibsStatusException.of(error).code() == Status.Code.INVALID_ARGUMENT;
    return response.getOutcome() == ExtendOutcome.EXTEND_OUTCOME_LOST;
  }
}
