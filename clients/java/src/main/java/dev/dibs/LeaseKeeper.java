package dev.dibs;

import dev.dibs.v1.ExtendOutcome;
import dev.dibs.v1.ExtendResponse;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Keeps a lease while its rebuild runs: extends it every third of what is left, so that two extensions in a row may be
 * lost. Tells when the lease is over. After an end that the service has not told it goes on asking, for its word counts.
 */
final class LeaseKeeper {
  /** How a lease came to its end while its rebuild ran. */
  enum Loss {
    /** The service says so: what the rebuild makes would not be stored. */
    TOLD,
    /** No extension came in time. The service may still take the result, where no other lease was given since. */
    UNANSWERED,
    /** It was held as long as one lease may be held. */
    HELD_TOO_LONG
  }

  private static final long THIRD_NANOS_MIN = TimeUnit.MILLISECONDS.toNanos(5);

  /** Between two tries after the lease's end. */
  private static final long AFTER_NANOS = TimeUnit.SECONDS.toNanos(1);

  /** What an extension may take where the lease leaves it the time: a try that hangs must not cost the next ones. */
  private static final long EXTEND_NANOS = TimeUnit.SECONDS.toNanos(2);

  private final Function<Duration, CompletableFuture<ExtendResponse>> extend;
  private final Consumer<Loss> onLost;
  private final long heldUntilNanos;
  private long endsAtNanos;
  private Future<?> timer;
  private boolean stopped;

  /** Null while it is held. */
  private Loss loss;

  /**
   * Keeps a lease.
   *
   * @param holdMax after that it is not extended any more
   * @param onLost is told of {@link Loss#UNANSWERED} at most once, and of at most one other loss, which is the last word
   * @param extend makes one attempt, which fails where it is not answered within the time that it is given
   */
  LeaseKeeper(
      Duration expiresIn,
      Duration holdMax,
      Function<Duration, CompletableFuture<ExtendResponse>> extend,
      Consumer<Loss> onLost) {
    this.extend = extend;
    this.onLost = onLost;
    this.heldUntilNanos = System.nanoTime() + holdMax.toNanos();
    this.endsAtNanos = System.nanoTime() + expiresIn.toNanos();
  }

  void start() {
    plan(true);
  }

  private synchronized void plan(boolean isAnswered) {
    if (stopped) return;
    long nowNanos = System.nanoTime();
    long pauseNanos = Math.min(pauseNanos(endsAtNanos - nowNanos, isAnswered), heldUntilNanos - nowNanos);
    timer = Threads.after(Duration.ofNanos(Math.max(0, pauseNanos)), this::extend);
  }

  /**
   * Below a few milliseconds a third is no time: the end is near, and is told when it comes. Our end is earlier than the
   * service's, so that a first try after it may still be answered with nothing left.
   */
  private long pauseNanos(long leftNanos, boolean isAnswered) {
    if (leftNanos > 0) return Math.min(leftNanos, Math.max(THIRD_NANOS_MIN, leftNanos / 3));
    if (loss == null) return 0;
    return isAnswered ? THIRD_NANOS_MIN : AFTER_NANOS;
  }

  synchronized void stop() {
    stopped = true;
    if (timer != null) timer.cancel(false);
  }

  /** Null where the lease was not lost. */
  synchronized Loss loss() {
    return loss;
  }

  /** The service says that the lease is over. */
  void lose() {
    lose(Loss.TOLD);
  }

  private void lose(Loss how) {
    synchronized (this) {
      if (stopped || loss == how) return;
      if (how != Loss.UNANSWERED) stop();
      loss = how;
    }
    onLost.accept(how);
  }

  private void extend() {
    long askedAtNanos = System.nanoTime();
    long leftNanos;
    synchronized (this) {
      leftNanos = endsAtNanos - askedAtNanos;
    }
    if (askedAtNanos - heldUntilNanos >= 0) {
      lose(Loss.HELD_TOO_LONG);
      return;
    }
    if (leftNanos <= 0) lose(Loss.UNANSWERED);
    // A try that hangs ends with the lease, so that the loss is told then and not later.
    extend
        .apply(Duration.ofNanos(leftNanos <= 0 ? EXTEND_NANOS : Math.min(EXTEND_NANOS, leftNanos)))
        .whenComplete((response, error) -> extended(response, error, askedAtNanos));
  }

  private void extended(ExtendResponse response, Throwable error, long askedAtNanos) {
    if (isOver(response, error)) {
      lose(Loss.TOLD);
      return;
    }
    boolean isExtended = error == null && response.getOutcome() == ExtendOutcome.EXTEND_OUTCOME_EXTENDED;
    if (isExtended) {
      synchronized (this) {
        endsAtNanos = askedAtNanos + TimeUnit.MILLISECONDS.toNanos(response.getExpiresInMs());
      }
    }
    plan(isExtended);
  }

  /** Not answered is not lost: the lease still has its end, and the next third brings another try. */
  private static boolean isOver(ExtendResponse response, Throwable error) {
    if (error != null) return DibsStatusException.of(error).code() == Status.Code.INVALID_ARGUMENT;
    return response.getOutcome() == ExtendOutcome.EXTEND_OUTCOME_LOST;
  }
}
