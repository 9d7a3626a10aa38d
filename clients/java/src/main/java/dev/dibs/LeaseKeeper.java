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
 * Keeps a lease while its rebuild is running: extends it after every third of the remaining time, so that two
 * consecutive extensions may be lost. The lease counts from its request, because its answer may have waited for this
 * process to read it. But the service may also have granted it after a wait. So if less than a third is left by this
 * count, it is extended at once. Reports when the lease is over. After an end that the service has not reported, it
 * continues to ask, because the service's answer decides.
 */
final class LeaseKeeper {
  /** How a lease ended while its rebuild was running. */
  enum Loss {
    /** The service reported it: the result would not be stored. */
    TOLD,
    /**
     * No extension was answered in time. The service may still accept the result if no other lease was granted since.
     */
    UNANSWERED,
    /** The lease was held for the longest time allowed. */
    HELD_TOO_LONG
  }

  private static final long THIRD_NANOS_MIN = TimeUnit.MILLISECONDS.toNanos(5);

  /** Between two attempts after the lease's end. */
  private static final long AFTER_NANOS = TimeUnit.SECONDS.toNanos(1);

  /** Timeout of an extension, if the lease leaves that much time: an attempt that hangs must not delay the next. */
  private static final long EXTEND_NANOS = TimeUnit.SECONDS.toNanos(2);

  private final Function<Duration, CompletableFuture<ExtendResponse>> extend;
  private final Consumer<Loss> onLost;
  private final long heldUntilNanos;
  private final boolean extendsAtOnce;
  private long endsAtNanos;
  private Future<?> timer;
  private boolean stopped;

  /** Null while the lease is held. */
  private Loss loss;

  /**
   * Keeps a lease.
   *
   * @param askedNanos when its request was sent
   * @param holdMax after that it is not extended any more
   * @param onLost receives {@link Loss#UNANSWERED} at most once, and at most one other loss, which is final
   * @param extend makes one attempt, which fails if it is not answered within the given time
   */
  LeaseKeeper(
      long askedNanos,
      Duration expiresIn,
      Duration holdMax,
      Function<Duration, CompletableFuture<ExtendResponse>> extend,
      Consumer<Loss> onLost) {
    this.extend = extend;
    this.onLost = onLost;
    long nowNanos = System.nanoTime();
    long leftNanos = askedNanos + expiresIn.toNanos() - nowNanos;
    this.heldUntilNanos = nowNanos + holdMax.toNanos();
    this.extendsAtOnce = leftNanos < expiresIn.toNanos() / 3;
    long leastNanos = extendsAtOnce ? Math.min(expiresIn.toNanos(), EXTEND_NANOS) : 0;
    this.endsAtNanos = nowNanos + Math.max(leftNanos, leastNanos);
  }

  synchronized void start() {
    if (extendsAtOnce) timer = Threads.after(Duration.ZERO, this::extend);
    else plan(true);
  }

  private synchronized void plan(boolean isAnswered) {
    if (stopped) return;
    long nowNanos = System.nanoTime();
    long pauseNanos = Math.min(pauseNanos(endsAtNanos - nowNanos, isAnswered), heldUntilNanos - nowNanos);
    timer = Threads.after(Duration.ofNanos(Math.max(0, pauseNanos)), this::extend);
  }

  /**
   * With a few milliseconds left, a third is too short: the end is near and is reported when it comes. This end is
   * earlier than the service's, so a first attempt after it may still be answered with no time left.
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

  /** Null if the lease was not lost. */
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
    // An attempt that hangs ends with the lease, so that the loss is reported then and not later.
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

  /**
   * An extension without an answer is not a loss: the lease still has time, and the next third brings another attempt.
   */
  private static boolean isOver(ExtendResponse response, Throwable error) {
    if (error != null) return DibsStatusException.of(error).code() == Status.Code.INVALID_ARGUMENT;
    return response.getOutcome() == ExtendOutcome.EXTEND_OUTCOME_LOST;
  }
}
