package dev.dibs;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Predicate;

/**
 * Rebuilds of this process while the service cannot be reached: one at a time per key. Their results are kept for a
 * short time, because a source that all processes ask directly has more load than usual.
 */
final class LocalRebuilds {
  private static final Duration KEPT_MAX = Duration.ofSeconds(5);

  private final Flights<Found> flights = Flights.ofWork();
  private final LocalResults results = new LocalResults();
  private final SafeHooks hooks;
  private final Metrics metrics;
  private final Executor executor;

  LocalRebuilds(SafeHooks hooks, Metrics metrics, Executor executor) {
    this.hooks = hooks;
    this.metrics = metrics;
    this.executor = executor;
  }

  CompletableFuture<Found> get(Question about, DibsStatusException cause) {
    FullKey key = about.fullKey();
    Found kept = result(about);
    if (kept != null) return CompletableFuture.completedFuture(kept);
    Flights.Place<Found> place =
        flights.join(
            key,
            key,
            about.untilNanos(),
            underWay -> isNewEnough(underWay, about),
            flight -> rebuild(about, cause, flight));
    // The codec of a caller that joined may be another one.
    CompletableFuture<Found> result =
        place.isFirst() ? place.result() : place.result().thenApply(found -> new Found(found.bytes(), false));
    result.whenComplete((found, error) -> place.result().cancel(false));
    return result;
  }

  /** Whether a recent rebuild's value is there for this call. */
  boolean hasResult(Question about) {
    return result(about) != null;
  }

  private Found result(Question about) {
    return about.options().mayJoin() ? results.of(about.fullKey()) : null;
  }

  /**
   * The service is available again: its values count, and not those that this process made by itself. This is known
   * from an answer, or from a session that begins, which reports only changes from then on.
   */
  void serviceIsBack() {
    flights.changed(key -> true);
    results.clear();
  }

  void changed(Predicate<FullKey> isChanged) {
    flights.changed(isChanged);
    results.changed(isChanged);
  }

  /** Whether it began after the call, if that needs something newer. */
  private static boolean isNewEnough(Flight<Found> underWay, Question about) {
    return about.options().mayJoin() || underWay.sinceNanos() - about.calledNanos() > 0;
  }

  private void rebuild(Question about, DibsStatusException cause, Flight<Found> flight) {
    metrics.rebuiltLocally(about.namespace());
    hooks.tell(told -> told.onLocalRebuild(about.namespace(), about.key(), cause));
    Run run = new Run(about.body(), RebuildReason.LOCAL, 0, null);
    flight.audience().left().onRaise(run::stop);
    run.start(about.trace().context().wrap(executor), about.leftNanos())
        .whenComplete(
            (value, error) -> {
              if (error == null) keep(about, run.terms(), value, flight);
              flight.land(error == null ? new Found(value, true) : null, error);
            });
    flight.rebuilding();
  }

  private void keep(Question about, ValueTerms terms, ByteString value, Flight<Found> flight) {
    if (terms.isUnstored()) return;
    try {
      terms.refuseBroken();
    } catch (DibsStatusException error) {
      hooks.tell(told -> told.onNotStorable(about.namespace(), about.key(), error));
      return;
    }
    Duration ttl = terms.ttl(about.options(), value == null);
    Duration kept = ttl.compareTo(KEPT_MAX) < 0 ? ttl : KEPT_MAX;
    // One that is no longer open began before a change of its key, or before a newer one.
    flights.ifOpen(flight, () -> results.keep(about.fullKey(), value, kept));
  }
}
