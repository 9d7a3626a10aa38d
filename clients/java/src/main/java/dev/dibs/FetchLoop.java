package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.LeasedRebuild.LeaseLostException;
import dev.dibs.Options.Revalidate;
import dev.dibs.Transport.Terms;
import dev.dibs.v1.Busy;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Intent;
import dev.dibs.v1.Lease;
import dev.dibs.v1.Read;
import dev.dibs.v1.Stale;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;

/** GetOrLock until there is a value, a failure, or no time left; rebuilding where a lease comes. */
final class FetchLoop {
  private static final Duration WAIT = Duration.ofSeconds(30);

  /** A wait that took less was none: the answer's way over the network. */
  private static final Duration WAITED_MIN = Duration.ofMillis(10);

  /** Between two questions, at the least, however soon the service says to come back. */
  private static final Duration PAUSE_MIN = Duration.ofMillis(10);

  /** What the answer's way may take, above the wait. */
  private static final Duration WAY = Duration.ofSeconds(2);

  /**
   * How often in a row the service may break off before it counts as out of reach: a replica that was killed ends its
   * calls so, and the next attempt reaches another. Where there is none, it fails within milliseconds.
   */
  private static final int BROKEN_OFF_MAX = 2;

  private final Parts parts;
  private final Question about;
  private final CompletableFuture<ByteString> result = new CompletableFuture<>();

  /** The same for every attempt: a lease whose answer was lost on its way comes again. */
  private final String requestId = UUID.randomUUID().toString();

  private final long untilNanos;
  private int brokenOff;

  FetchLoop(Parts parts, Question about) {
    this.parts = parts;
    this.about = about;
    Duration wait = about.options().maxWait() == null ? WAIT : about.options().maxWait();
    this.untilNanos = System.nanoTime() + wait.toNanos();
  }

  CompletableFuture<ByteString> start() {
    ask();
    return result;
  }

  private void ask() {
    if (about.left().isRaised()) {
      result.completeExceptionally(DibsStatusException.cancelled("the caller has gone"));
      return;
    }
    long askedNanos = System.nanoTime();
    Duration left = Duration.ofMillis(Math.max(0, left().toMillis()));
    // Whoever has left must not stand in the service's queue, nor be given the lease.
    Terms terms = new Terms(left.plus(WAY), about.trace().traceparent(), about.left());
    parts
        .transport()
        .call(Method.GET_OR_LOCK, request(left), terms)
        .whenComplete(
            (response, error) -> {
              try {
                if (error != null) refused(DibsStatusException.of(error));
                else answered(response, Duration.ofNanos(System.nanoTime() - askedNanos));
              } catch (Throwable fault) {
                // Of this package's own: nobody must wait for ever because of it.
                result.completeExceptionally(fault);
              }
            });
  }

  private GetOrLockRequest request(Duration left) {
    Options<?> options = about.options();
    GetOrLockRequest.Builder request =
        GetOrLockRequest.newBuilder()
            .setNamespace(about.namespace())
            .setKey(about.key())
            .setRequestId(requestId)
            .setHolder(parts.holder())
            .setIntent(options.isRefresh() ? Intent.INTENT_REFRESH : Intent.INTENT_REBUILD);
    // Where the caller names no wait, the deadline bounds it, and the service's own maximum.
    if (options.maxWait() != null) request.setWaitMs(left.toMillis());
    if (options.lease() != null) request.setLeaseMs(options.lease().toMillis());
    if (options.stale() != null) request.setStale(Stale.valueOf("STALE_" + options.stale()));
    if (options.read() != null) request.setRead(Read.valueOf("READ_" + options.read()));
    return request.build();
  }

  private void answered(GetOrLockResponse response, Duration waited) {
    brokenOff = 0;
    switch (response.getOutcomeCase()) {
      case HIT -> {
        if (waited.compareTo(WAITED_MIN) >= 0) tellWaited(waited, true);
        served(response.getHit());
      }
      case LEASE -> underLease(response.getLease());
      case FAILED -> {
        tellWaited(waited, true);
        Duration retryAfter = Duration.ofMillis(response.getFailed().getRetryAfterMs());
        result.completeExceptionally(new RebuildFailedException(response.getFailed().getMessage(), retryAfter));
      }
      // An outcome that a later service has: all that this one can say of it is that there is no answer.
      default -> {
        tellWaited(waited, false);
        busy(response.getBusy());
      }
    }
  }

  private void refused(DibsStatusException error) {
    if (!error.isUnreachable()) {
      comeBack(error);
      return;
    }
    brokenOff += 1;
    if (error.code() == Status.Code.UNAVAILABLE && brokenOff < BROKEN_OFF_MAX) ask();
    else withoutService(error);
  }

  private void busy(Busy busy) {
    BusyReason reason = Words.of(busy.getReason(), "BUSY_REASON_", BusyReason.UNSPECIFIED);
    Duration retryAfter = Duration.ofMillis(busy.getRetryAfterMs());
    DibsBusyException error = new DibsBusyException(reason, retryAfter, Duration.ofMillis(busy.getHolderAgeMs()));
    // Waiting on is no use where the service said that the rebuild takes longer than the wait.
    boolean endsHere = reason == BusyReason.DEADLINE_TOO_SHORT || reason == BusyReason.NO_VALUE;
    if (endsHere) result.completeExceptionally(error);
    else comeBack(error);
  }

  /** Asks again when the service said; fails where it did not, or where the caller's time is over by then. */
  private void comeBack(DibsException error) {
    double jitter = ThreadLocalRandom.current().nextDouble(1, 2);
    Duration least = Duration.ofNanos(Math.round(PAUSE_MIN.toNanos() * jitter));
    Duration asked = error.retryAfter().orElse(null);
    Duration pause = asked == null || asked.compareTo(least) < 0 ? least : asked;
    if (asked == null || pause.compareTo(left()) >= 0) {
      result.completeExceptionally(error);
      return;
    }
    Future<?> timer = Threads.after(pause, this::ask);
    // Who has left ends the pause; only one of the two asks.
    about.left().onRaise(() -> {
      if (timer.cancel(false)) ask();
    });
  }

  private void underLease(Lease lease) {
    boolean goesOnBehind = mayGoOnBehind(lease);
    // What goes on in the background is nobody's wait, and ends by itself.
    Signal left = goesOnBehind ? new Signal() : about.left();
    CompletableFuture<ByteString> rebuilding = new LeasedRebuild(parts, about, lease, left).start();
    if (goesOnBehind) {
      rebuilding.whenComplete(
          (value, error) -> {
            boolean isFailure = error != null && !(error instanceof LeaseLostException);
            if (isFailure) parts.hooks().tell(hooks -> hooks.onBackgroundError(about.namespace(), about.key(), error));
          });
      served(lease.getPrevious());
      return;
    }
    rebuilding.whenComplete(
        (value, error) -> {
          if (!(error instanceof LeaseLostException)) Futures.settle(result, value, error);
          // A key that is invalidated faster than it is rebuilt must not hold its caller for ever.
          else if (left().compareTo(Duration.ZERO) <= 0) result.completeExceptionally(error.getCause());
          else ask();
        });
  }

  /** There is something to serve meanwhile, and the caller does not insist on the newest. */
  private boolean mayGoOnBehind(Lease lease) {
    Options<?> options = about.options();
    return lease.hasPrevious() && !options.isRefresh() && options.revalidate() == Revalidate.BACKGROUND;
  }

  private void served(Hit hit) {
    boolean isStale = hit.getFreshness() == dev.dibs.v1.Freshness.FRESHNESS_STALE;
    Freshness freshness = isStale ? Freshness.STALE : Freshness.FRESH;
    parts.hooks().tell(hooks -> hooks.onHit(about.namespace(), about.key(), freshness));
    result.complete(hit.hasValue() ? hit.getValue() : null);
  }

  private void tellWaited(Duration waited, boolean answered) {
    parts.hooks().tell(hooks -> hooks.onWait(about.namespace(), about.key(), waited, answered));
  }

  /** The service cannot be reached: one rebuild at a time in this process, or the error. */
  private void withoutService(DibsStatusException cause) {
    if (about.onUnavailable() == OnUnavailable.FAIL) {
      result.completeExceptionally(cause);
      return;
    }
    CompletableFuture<ByteString> seat =
        parts.local().join(List.of(about.namespace(), about.key()), left -> local(cause, left));
    Runnable stay = about.left().onRaise(() -> seat.cancel(false));
    seat.whenComplete(
        (value, error) -> {
          stay.run();
          Futures.settle(result, value, error);
        });
  }

  private CompletableFuture<ByteString> local(DibsStatusException cause, Signal left) {
    parts.hooks().tell(hooks -> hooks.onLocalRebuild(about.namespace(), about.key(), cause));
    Run run = new Run(about.body(), RebuildReason.LOCAL, 0, null);
    left.onRaise(run::stop);
    return run.start(about.trace().context().wrap(parts.executor()));
  }

  private Duration left() {
    return Duration.ofNanos(untilNanos - System.nanoTime());
  }
}
