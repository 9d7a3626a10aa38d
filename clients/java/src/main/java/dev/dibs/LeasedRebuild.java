package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.Transport.Terms;
import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.ExtendResponse;
import dev.dibs.v1.Failure;
import dev.dibs.v1.Lease;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.ReleaseRequest;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;

/** One rebuild under one lease: run, extended meanwhile, and handed over. */
final class LeasedRebuild {
  /** The rebuild gave up because its lease was lost: somebody else may have the value by now. */
  static final class LeaseLostException extends Exception {
    private static final long serialVersionUID = 1L;

    LeaseLostException(Throwable cause) {
      super(cause);
    }
  }

  /** Shorter than a rebuild that is worth a lease: nobody waits longer for what they have already. */
  private static final Duration PUBLISH_DEADLINE = Duration.ofSeconds(2);

  private static final int PUBLISH_AGAIN = 3;
  private static final int PUBLISH_PAUSE_MS = 100;
  private static final Duration BACKOFF_MAX = Duration.ofSeconds(300);

  private final Parts parts;
  private final Question about;
  private final Lease lease;

  /** Raised when nobody waits any more; never where nobody waits from the beginning. */
  private final Signal left;

  private final CompletableFuture<ByteString> result = new CompletableFuture<>();
  private RebuildSpan span;

  LeasedRebuild(Parts parts, Question about, Lease lease, Signal left) {
    this.parts = parts;
    this.about = about;
    this.lease = lease;
    this.left = left;
    this.span = about.trace().noRebuild();
  }

  /**
   * Ends with the value, whatever became of the publish. Fails with what the rebuild threw, after the waiters were
   * told; with {@link LeaseLostException} where it gave up because its lease was lost.
   */
  CompletableFuture<ByteString> start() {
    if (left.isRaised()) {
      // The lease was on its way when the last caller left.
      giveUp(DibsStatusException.cancelled("the caller has gone"));
      return result;
    }
    RebuildReason reason = Words.of(lease.getReason(), "LEASE_REASON_", RebuildReason.UNSPECIFIED);
    span = about.trace().rebuild(about.namespace(), reason, lease.getFence());
    Run run = new Run(about.body(), reason, lease.getFence(), lease.hasPrevious() ? lease.getPrevious() : null);
    LeaseKeeper keeper = new LeaseKeeper(Duration.ofMillis(lease.getExpiresInMs()), this::extend, () -> lost(run));
    Runnable unwatch = parts.held().watch(lease.getToken(), keeper::lose);
    Runnable stay = left.onRaise(run::stop);
    keeper.start();
    run.start(span.within().wrap(parts.executor()))
        .whenComplete(
            (value, error) -> {
              stay.run();
              unwatch.run();
              keeper.stop();
              if (error == null) handOver(value);
              else if (keeper.isLost()) end(null, new LeaseLostException(error));
              else giveUp(error);
            });
    return result;
  }

  /** The span before the caller, who may look at it. */
  private void end(ByteString value, Throwable error) {
    span.end(error instanceof LeaseLostException ? error.getCause() : error);
    if (error == null) result.complete(value);
    else result.completeExceptionally(error);
  }

  private void lost(Run run) {
    parts.hooks().tell(hooks -> hooks.onLeaseLost(about.namespace(), about.key()));
    run.lose();
  }

  private CompletableFuture<ExtendResponse> extend(Duration deadline) {
    ExtendRequest.Builder request =
        ExtendRequest.newBuilder().setNamespace(about.namespace()).setKey(about.key()).setToken(lease.getToken());
    if (about.options().lease() != null) request.setLeaseMs(about.options().lease().toMillis());
    return parts.transport().call(Method.EXTEND, request.build(), within(deadline));
  }

  /** A failure is everybody's; that the callers have gone is not one, and somebody else may try at once. */
  private void giveUp(Throwable error) {
    ReleaseRequest.Builder request =
        ReleaseRequest.newBuilder().setNamespace(about.namespace()).setKey(about.key()).setToken(lease.getToken());
    if (!left.isRaised()) request.setFailure(failureOf(error));
    parts
        .transport()
        .call(Method.RELEASE, request.build(), within(Transport.DEADLINE))
        .whenComplete(
            (released, failed) -> {
              // The lease ends with its time; the error that counts is the rebuild's.
              if (failed != null) toldNobody(failed);
              end(null, error);
            });
  }

  private static Failure failureOf(Throwable error) {
    Failure.Builder failure = Failure.newBuilder().setMessage(FailureMessage.of(error));
    Duration asked = error instanceof RetryAfter carrier ? carrier.retryAfter() : null;
    if (asked != null && !asked.isNegative() && asked.compareTo(BACKOFF_MAX) <= 0) {
      failure.setRetryAfterMs(asked.toMillis());
    }
    return failure.build();
  }

  /** A fault of the caller's, such as a value beyond the bound, is thrown; anything else is tried again behind. */
  private void handOver(ByteString value) {
    PublishRequest request = publishRequest(value);
    publish(request)
        .whenComplete(
            (published, failed) -> {
              DibsStatusException error = failed == null ? null : DibsStatusException.of(failed);
              if (error == null) {
                end(value, null);
              } else if (mayPublishAgain(error)) {
                publishAgain(request, error, 0);
                end(value, null);
              } else {
                giveUp(error);
              }
            });
  }

  private PublishRequest publishRequest(ByteString value) {
    Options<?> options = about.options();
    Duration ttl = value == null ? options.absentTtl() : options.ttl();
    PublishRequest.Builder request =
        PublishRequest.newBuilder()
            .setNamespace(about.namespace())
            .setKey(about.key())
            .setToken(lease.getToken())
            .setTtlMs(ttl.toMillis())
            .addAllTags(options.tags());
    if (options.staleTtl() != null) request.setStaleMs(options.staleTtl().toMillis());
    if (value == null) request.setAbsent(true);
    else request.setValue(value);
    return request.build();
  }

  private CompletableFuture<?> publish(PublishRequest request) {
    return parts
        .transport()
        .call(Method.PUBLISH, request, within(PUBLISH_DEADLINE))
        .thenAccept(
            published -> {
              var outcome = Words.of(published.getOutcome(), "PUBLISH_OUTCOME_", PublishOutcome.UNSPECIFIED);
              span.published(outcome);
              parts
                  .hooks()
                  .tell(hooks -> hooks.onPublish(about.namespace(), about.key(), outcome, published.getFence()));
            });
  }

  /** Safe to repeat: one that was stored already is answered with {@link PublishOutcome#DUPLICATE}. */
  private void publishAgain(PublishRequest request, DibsStatusException error, int time) {
    if (time == PUBLISH_AGAIN || !mayPublishAgain(error)) {
      toldNobody(error);
      return;
    }
    double jitter = ThreadLocalRandom.current().nextDouble(0.5, 1.5);
    Duration pause = Duration.ofMillis(Math.round((PUBLISH_PAUSE_MS << time) * jitter));
    Threads.after(
        error.retryAfter().orElse(pause),
        () ->
            publish(request)
                .whenComplete(
                    (published, again) -> {
                      if (again != null) publishAgain(request, DibsStatusException.of(again), time + 1);
                    }));
  }

  private static boolean mayPublishAgain(DibsStatusException error) {
    return error.isUnreachable() || error.retryAfter().isPresent();
  }

  private void toldNobody(Throwable error) {
    parts.hooks().tell(hooks -> hooks.onBackgroundError(about.namespace(), about.key(), Futures.cause(error)));
  }

  private Terms within(Duration deadline) {
    return Terms.within(deadline, span.traceparent());
  }
}
