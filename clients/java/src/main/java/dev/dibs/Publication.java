package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.Transport.Terms;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.PublishResponse;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;

/** The publish of one value. */
final class Publication {
  /** Shorter than a rebuild that is worth a lease: the callers already have their value. */
  private static final Duration DEADLINE = Duration.ofSeconds(2);

  private static final int AGAIN = 3;
  private static final int PAUSE_MS = 100;

  private final Parts parts;
  private final Question about;
  private final String token;
  private final RebuildSpan span;

  /** {@code span} is that of the rebuild, or a substitute. */
  Publication(Parts parts, Question about, String token, RebuildSpan span) {
    this.parts = parts;
    this.about = about;
    this.token = token;
    this.span = span;
  }

  /**
   * Completes with the outcome, or with null if the service did not answer and the publish is repeated in the
   * background. Fails if the service refuses the value. {@code failedBehind} gets the error if the repetitions fail.
   */
  CompletableFuture<Published> start(ByteString value, ValueTerms terms, Consumer<DibsStatusException> failedBehind) {
    PublishRequest request = request(value, terms);
    CompletableFuture<Published> result = new CompletableFuture<>();
    publish(request)
        .whenComplete(
            (published, failed) -> {
              DibsStatusException error = failed == null ? null : DibsStatusException.of(failed);
              if (error != null && mayPublishAgain(error)) {
                behind(again(request, error, 0), failedBehind);
                result.complete(null);
              } else {
                Futures.settle(result, published, error);
              }
            });
    return result;
  }

  /** Completes with the outcome; fails if that is still unknown after several repetitions. */
  CompletableFuture<Published> untilAnswered(ByteString value) {
    PublishRequest request = request(value, new ValueTerms());
    return publish(request)
        .handle((published, failed) -> failed == null
            ? CompletableFuture.completedFuture(published)
            : again(request, DibsStatusException.of(failed), 0))
        .thenCompose(outcome -> outcome);
  }

  private void behind(CompletableFuture<Published> repeated, Consumer<DibsStatusException> failedBehind) {
    CompletableFuture<Void> work = parts.background().begin();
    repeated.whenComplete(
        (published, failed) -> {
          if (failed != null) failedBehind.accept(DibsStatusException.of(failed));
          work.complete(null);
        });
  }

  private PublishRequest request(ByteString value, ValueTerms terms) {
    Duration staleTtl = terms.staleTtl(about.options());
    PublishRequest.Builder request =
        PublishRequest.newBuilder()
            .setNamespace(about.namespace())
            .setKey(about.key())
            .setToken(token)
            .setTtlMs(Bounds.ms(terms.ttl(about.options(), value == null)))
            .addAllTags(terms.tags(about.options()));
    if (staleTtl != null) request.setStaleMs(Bounds.ms(staleTtl));
    if (value == null) request.setAbsent(true);
    else request.setValue(value);
    return request.build();
  }

  private CompletableFuture<Published> publish(PublishRequest request) {
    return parts
        .transport()
        .call(Method.PUBLISH, request, Terms.within(DEADLINE, span.traceparent()))
        // Also if it failed, because the value may be stored.
        .whenComplete((response, error) -> parts.changes().published(about.namespace(), about.key()))
        .thenApply(
            response -> {
              Published published = of(response);
              span.published(published.outcome());
              parts.hooks().tell(hooks -> hooks.onPublish(about.namespace(), about.key(), published));
              return published;
            });
  }

  private static Published of(PublishResponse response) {
    return new Published(
        Words.of(response.getOutcome(), "PUBLISH_OUTCOME_", PublishOutcome.UNSPECIFIED),
        response.getFence(),
        response.hasCounts() ? Optional.of(response.getCounts()) : Optional.empty(),
        response.getMaybeStored());
  }

  /** Safe to repeat: a value that was already stored is answered with {@link PublishOutcome#DUPLICATE}. */
  private CompletableFuture<Published> again(PublishRequest request, DibsStatusException error, int time) {
    if (time == AGAIN || !mayPublishAgain(error)) return CompletableFuture.failedFuture(error);
    double jitter = ThreadLocalRandom.current().nextDouble(0.5, 1.5);
    Duration pause = Duration.ofMillis(Math.round((PAUSE_MS << time) * jitter));
    CompletableFuture<Published> result = new CompletableFuture<>();
    Threads.after(
        error.retryAfter().orElse(pause),
        () ->
            publish(request)
                .whenComplete(
                    (published, failed) -> {
                      if (failed == null) {
                        result.complete(published);
                        return;
                      }
                      again(request, DibsStatusException.of(failed), time + 1)
                          .whenComplete((later, still) -> Futures.settle(result, later, still));
                    }));
    return result;
  }

  /** Its result is unknown, the service says when to retry, or there was no token at that moment. */
  static boolean mayPublishAgain(DibsStatusException error) {
    return !error.isAnswer() || error.retryAfter().isPresent();
  }
}
