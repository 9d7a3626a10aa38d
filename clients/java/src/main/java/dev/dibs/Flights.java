package dev.dibs;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Joins equal calls of one process. An answer requested before a change may be older than a caller that comes after the
 * change. A call is therefore joined only until its request leaves or, while a session watches its namespace, until a
 * change has arrived.
 */
final class Flights<T> {
  /** Whether a session is reporting changes at the moment. */
  private final BooleanSupplier isLive;

  private final boolean untilLanded;
  private final Map<Object, Flight<T>> open = new HashMap<>();

  private Flights(BooleanSupplier isLive, boolean untilLanded) {
    this.isLive = isLive;
    this.untilLanded = untilLanded;
  }

  /** Joins requests; {@code isLive}: whether a session is reporting changes at the moment. */
  static <T> Flights<T> ofRequests(BooleanSupplier isLive) {
    return new Flights<>(isLive, false);
  }

  /** Joins work until it ends, or until this process has changed its subject. */
  static <T> Flights<T> ofWork() {
    return new Flights<>(() -> true, true);
  }

  /** What a caller gets. {@code isFirst}: the flight began with it. */
  record Place<T>(CompletableFuture<T> result, boolean isFirst) {}

  /**
   * A place in a flight that is under way, or in a new one.
   *
   * @param mayJoin whether one that is under way will do
   * @param start begins the work, which always ends in {@link Flight#land}
   */
  Place<T> join(
      Object id, FullKey key, long untilNanos, Predicate<Flight<T>> mayJoin, Consumer<Flight<T>> start) {
    Flight<T> flight;
    boolean isNew;
    synchronized (this) {
      Flight<T> underWay = open.get(id);
      boolean isTooLate = underWay != null && underWay.sent && !isLive.getAsBoolean();
      isNew = underWay == null || isTooLate || !mayJoin.test(underWay) || !underWay.audience().enter();
      flight = isNew ? new Flight<>(id, key, this) : underWay;
      if (isNew) open.put(id, flight);
    }
    return new Place<>(isNew ? begin(flight, start) : flight.joined(untilNanos), isNew);
  }

  /** The future of a caller that others may join, whenever the flight began. */
  CompletableFuture<T> join(Object id, FullKey key, long untilNanos, Consumer<Flight<T>> start) {
    return join(id, key, untilNanos, underWay -> true, start).result();
  }

  /** A call that no other caller may join. */
  CompletableFuture<T> alone(FullKey key, Consumer<Flight<T>> start) {
    return begin(new Flight<>(null, key, this), start);
  }

  private static <T> CompletableFuture<T> begin(Flight<T> flight, Consumer<Flight<T>> start) {
    CompletableFuture<T> seat = flight.first();
    try {
      start.accept(flight);
    } catch (Throwable error) {
      // What could not even start has failed: the next caller must not join it.
      flight.land(null, error);
    }
    return seat;
  }

  /** {@code isWatched}: a session reports changes of its namespace. */
  synchronized void sent(Flight<T> flight, boolean isWatched) {
    flight.sent = true;
    if (!isWatched && !untilLanded) remove(flight);
  }

  synchronized void rebuilding(Flight<T> flight) {
    if (!untilLanded) remove(flight);
  }

  /** Runs the action if callers can still join the flight. No newer one for its subject begins meanwhile. */
  synchronized void ifOpen(Flight<T> flight, Runnable action) {
    if (open.get(flight.id()) == flight) action.run();
  }

  /** Only this flight: another one may have begun under the same options since. */
  synchronized void remove(Flight<T> flight) {
    open.remove(flight.id(), flight);
  }

  /** These keys have changed: callers that come afterwards must not join earlier requests. */
  synchronized void changed(Predicate<FullKey> isChanged) {
    open.values().removeIf(flight -> (flight.sent || untilLanded) && isChanged.test(flight.key()));
  }
}
