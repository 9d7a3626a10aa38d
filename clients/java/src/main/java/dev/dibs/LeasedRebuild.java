package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.LeaseKeeper.Loss;
import dev.dibs.Metrics.Outcome;
import dev.dibs.RunningRebuild.Ending;
import dev.dibs.Transport.Terms;
import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.ExtendResponse;
import dev.dibs.v1.Lease;
import dev.dibs.v1.ReleaseOutcome;
import dev.dibs.v1.ReleaseRequest;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** One rebuild under one lease: run, extended meanwhile, and published. */
final class LeasedRebuild {
  /** The lease was lost before there was a result: another caller may have the value by now. */
  static final class LeaseLostException extends Exception {
    private static final long serialVersionUID = 1L;

    /** {@code cause} is the exception of the rebuild; null if it was not waited for. */
    LeaseLostException(Throwable cause) {
      super("the lease was lost", cause);
    }
  }

  private final Parts parts;
  private final Question about;
  private final Lease lease;
  private final long askedNanos;
  private final CallTrace trace;

  /** The callers that wait for it. A background rebuild of a stale value has one that never leaves. */
  private final Audience audience;

  private final RunningRebuild running;
  private final CompletableFuture<Found> result = new CompletableFuture<>();
  private RebuildSpan span;

  /** {@code askedNanos} is when the lease's request was sent. */
  LeasedRebuild(
      Parts parts, Question about, Lease lease, long askedNanos, CallTrace trace, Audience audience) {
    this.parts = parts;
    this.about = about;
    this.lease = lease;
    this.askedNanos = askedNanos;
    this.trace = trace;
    this.audience = audience;
    this.running = new RunningRebuild(about, lease, audience);
    this.span = trace.noRebuild();
  }

  /**
   * Completes with the value, even if the publish failed. Fails with the rebuild's exception, after the waiters were
   * notified, or with {@link LeaseLostException} if the lease was lost.
   */
  CompletableFuture<Found> start() {
    if (audience.left().isRaised()) {
      // The last caller left while the lease was on its way.
      giveBack(DibsStatusException.cancelled("the caller has gone"));
      return result;
    }
    RebuildReason reason = Words.of(lease.getReason(), "LEASE_REASON_", RebuildReason.UNSPECIFIED);
    span = trace.rebuild(about.namespace(), reason, lease.getFence());
    Run run = new Run(about.body(), reason, lease.getFence(), lease.hasPrevious() ? lease.getPrevious() : null);
    LeaseKeeper keeper =
        new LeaseKeeper(
            askedNanos, Duration.ofMillis(lease.getExpiresInMs()), holdMax(), this::extend, how -> lost(run, how));
    parts.running().add(running);
    Runnable unwatch = parts.held().watch(lease.getToken(), keeper::lose);
    if (keeper.loss() != null) {
      // Its loss came before it.
      ran(run, keeper.loss(), null, null);
      return result;
    }
    Runnable stay = audience.left().onRaise(run::stop);
    keeper.start();
    run.start(span.within().wrap(parts.executor()), about.leftNanos())
        .whenComplete(
            (value, error) -> {
              stay.run();
              unwatch.run();
              keeper.stop();
              guarded(() -> ran(run, keeper.loss(), value, error));
            });
    return result;
  }

  private Duration holdMax() {
    return about.options().leaseHoldMax() == null ? parts.leaseHoldMax() : about.options().leaseHoldMax();
  }

  private void ran(Run run, Loss loss, ByteString value, Throwable error) {
    if (loss != null && loss != Loss.UNANSWERED) {
      // No caller has waited for this since.
      count(Outcome.LOST);
      span.end(Thrown.by(error));
    } else if (error == null && run.terms().isUnstored()) {
      unstored(value);
    } else if (error == null) {
      handOver(value, run.terms(), loss != null);
    } else if (loss != null) {
      count(Outcome.LOST);
      end(null, new LeaseLostException(error), Ending.ASK_AGAIN);
    } else if (error instanceof Run.NotBegunException || audience.left().isRaised()) {
      giveBack(error);
    } else {
      fail(error);
    }
  }

  /** An error between a rebuild and its publish ends the call: the caller must not wait forever. */
  private void guarded(Runnable step) {
    try {
      step.run();
    } catch (Throwable fault) {
      release(null);
      end(null, fault, Ending.ASK_AGAIN);
    }
  }

  /** Ends the span before the caller is notified, because the caller may read it. */
  private void end(Found found, Throwable error, Ending ending) {
    parts.running().remove(running);
    boolean isLost = error instanceof LeaseLostException && error.getCause() != null;
    span.end(Thrown.by(isLost ? error.getCause() : error));
    if (error == null) result.complete(found);
    else result.completeExceptionally(error);
    running.end(ending);
  }

  /**
   * No caller waits for a rebuild whose result would not be stored: it may have begun before the event that made it
   * void, and may never end. If only the extensions were not answered, the result may still be stored.
   */
  private void lost(Run run, Loss how) {
    if (!run.isLost()) {
      parts.metrics().lost(about.namespace());
      parts.hooks().tell(hooks -> hooks.onLeaseLost(about.namespace(), about.key()));
      running.close();
      run.lose();
    }
    if (how == Loss.UNANSWERED) return;
    if (how == Loss.HELD_TOO_LONG) release(null);
    parts.running().remove(running);
    // First: they ask for themselves. This call asks again only for its own callers.
    running.end(Ending.ASK_AGAIN);
    result.completeExceptionally(new LeaseLostException(null));
  }

  private CompletableFuture<ExtendResponse> extend(Duration deadline) {
    ExtendRequest.Builder request =
        ExtendRequest.newBuilder().setNamespace(about.namespace()).setKey(about.key()).setToken(lease.getToken());
    if (about.options().lease() != null) request.setLeaseMs(Bounds.ms(about.options().lease()));
    return parts.transport().call(Method.EXTEND, request.build(), within(deadline));
  }

  /** Without callers or without a thread there is no failure: another process may try at once. */
  private void giveBack(Throwable error) {
    running.close();
    release(null).whenComplete((isReleased, failed) -> end(null, error, Ending.ASK_AGAIN));
  }

  /** The value goes only to callers that asked before the lease was granted. All others ask again. */
  private void unstored(ByteString value) {
    count(Outcome.NOT_STORED);
    running.close();
    release(null).whenComplete((isReleased, failed) -> end(new Found(value, true), null, Ending.ASK_AGAIN));
  }

  /** A failure goes to all waiters, if the service accepted it. */
  private void fail(Throwable error) {
    count(Outcome.FAILED);
    running.close();
    release(error)
        .whenComplete(
            (isReleased, failed) ->
                end(null, error, failed == null && isReleased ? new Ending(true, null, error) : Ending.ASK_AGAIN));
  }

  /** Completes with whether the lease was held until now; {@code failure} is null if the rebuild did not fail. */
  private CompletableFuture<Boolean> release(Throwable failure) {
    ReleaseRequest.Builder request =
        ReleaseRequest.newBuilder().setNamespace(about.namespace()).setKey(about.key()).setToken(lease.getToken());
    if (failure != null) request.setFailure(FailureMessage.failureOf(Thrown.by(failure)));
    CompletableFuture<Boolean> released =
        parts
            .transport()
            .call(Method.RELEASE, request.build(), within(Transport.DEADLINE))
            .thenApply(response -> response.getOutcome() == ReleaseOutcome.RELEASE_OUTCOME_RELEASED);
    // The lease expires by itself; the error that matters is the rebuild's.
    released.whenComplete((response, failed) -> {
      if (failed != null) tellBackground(failed);
    });
    return released;
  }

  /** {@code isLost}: the lease expired without an answer from the service; the answer to the publish then decides. */
  private void handOver(ByteString value, ValueTerms terms, boolean isLost) {
    running.close();
    Found found = new Found(value, true);
    try {
      terms.refuseBroken();
    } catch (DibsStatusException error) {
      notStorable(found, error);
      return;
    }
    new Publication(parts, about, lease.getToken(), span)
        .start(value, terms, this::failedBehind)
        .whenComplete(
            (published, failed) -> {
              if (failed == null && isLost && published != null && published.isVoid()) {
                count(Outcome.LOST);
                end(null, new LeaseLostException(null), Ending.ASK_AGAIN);
              } else if (failed == null) {
                boolean counts = published != null && published.isStoredAndCounts();
                // A publish that is repeated in the background is not known to be stored.
                count(published != null && published.isStored() ? Outcome.PUBLISHED : Outcome.NOT_STORED);
                end(found, null, new Ending(counts, found, null));
              } else {
                notStorable(found, DibsStatusException.of(failed));
              }
            });
  }

  /**
   * For example a value that is too large. The source has answered: the caller has the value, and the fleet gets the
   * reason.
   */
  private void notStorable(Found found, DibsStatusException error) {
    count(Outcome.NOT_STORED);
    parts.hooks().tell(hooks -> hooks.onNotStorable(about.namespace(), about.key(), error));
    release(error).whenComplete((isReleased, failed) -> end(found, null, Ending.ASK_AGAIN));
  }

  /** The repeated publishes have failed. The caller has its value already. */
  private void failedBehind(DibsStatusException error) {
    if (Publication.mayPublishAgain(error)) {
      tellBackground(error);
      // Without an answer, it may be stored.
      if (!error.isUnreachable()) release(null);
    } else {
      parts.hooks().tell(hooks -> hooks.onNotStorable(about.namespace(), about.key(), error));
      release(error);
    }
  }

  private void count(Outcome outcome) {
    parts.metrics().rebuilt(about.namespace(), outcome);
  }

  private void tellBackground(Throwable error) {
    parts.hooks().tell(hooks -> hooks.onBackgroundError(about.namespace(), about.key(), Futures.cause(error)));
  }

  private Terms within(Duration deadline) {
    return Terms.within(deadline, span.traceparent());
  }
}
