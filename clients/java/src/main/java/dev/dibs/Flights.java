package dev.dibs;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Joins equal calls of one process. An answer that was asked for before a change may be older than a caller that comes
 * after it: that is why a call is joined only until its request leaves, or, while a session watches its namespace,
 * until a change has arrived.
 */
final class Flights<T> {
  private final Predicate<String> isWatched;
  private final boolean untilLanded;
  private final Map<Object, Flight<T>> open = new HashMap<>();

  private Flights(Predicate<String> isWatched, boolean untilLanded) {
    this.isWatched = isWatched;
    this.untilLanded = untilLanded;
  }

  /** Of requests; {@code isWatched} says of which namespaces this process hears the changes. */
  static <T> Flights<T> ofRequests(Predicate<String> isWatched) {
    return new Flights<>(isWatched, false);
  }

  /** Of work that is joined until it ends, or until this process itself has changed what it is about. */
  static <T> Flights<T> ofWork() {
    return new Flights<>(namespace -> true, true);
  }

  /**
   * The seat of one caller.
   *
   * @param mayJoin whether one that is under way will do
   * @param start begins the work, which always ends in {@link Flight#land}
   */
  CompletableFuture<T> join(
      Object id, FullKey key, long untilNanos, Predicate<Flight<T>> mayJoin, Consumer<Flight<T>> start) {
    Flight<T> flight;
    boolean isNew;
    synchronized (this) {
      Flight<T> underWay = open.get(id);
      isNew = underWay == null || !mayJoin.test(underWay) || !underWay.audience().enter();
      flight = isNew ? new Flight<>(id, key, this) : underWay;
      if (isNew) open.put(id, flight);
    }
    return isNew ? begin(flight, start) : flight.joined(untilNanos);
  }

  /** The seat of a caller that other ones may join, whenever the flight began. */
  CompletableFuture<T> join(Object id, FullKey key, long untilNanos, Consumer<Flight<T>> start) {
    return join(id, key, untilNanos, underWay -> true, start);
  }

  /** A call that no other one may join. */
  CompletableFuture<T> alone(FullKey key, Consumer<Flight<T>> start) {
    return begin(new Flight<>(null, key, this), start);
  }

  private static <T> CompletableFuture<T> begin(Flight<T> flight, Consumer<Flight<T>> start) {
    CompletableFuture<T> seat = flight.first();
    try {
      start.accept(flight);
    } catch (Throwable error) {
      // What cannot even start has failed: the next caller must not join it.
      flight.land(null, error);
    }
    return seat;
  }

  synchronized void sent(Flight<T> flight) {
    flight.sent = true;
    if (!isWatched.test(flight.key().namespace())) remove(flight);
  }

  synchronized void rebuilding(Flight<T> flight) {
    if (!untilLanded) remove(flight);
  }

  /** Only the flight itself: another one may have begun under the same options since. */
  synchronized void remove(Flight<T> flight) {
    open.remove(flight.id(), flight);
  }

  /** A change of these keys has arrived: what was asked for before it must not be joined by callers that come after. */
  synchronized void changed(Predicate<FullKey> isChanged) {
    open.values().removeIf(flight -> (flight.sent || untilLanded) && isChanged.test(flight.key()));
  }
}
