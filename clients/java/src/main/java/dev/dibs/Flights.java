package dev.dibs;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Joins equal calls of one process. An answer that was asked for before a change may be older than a caller that comes
 * after it: that is why a call is joined only until its request leaves, or, while a session watches its namespace,
 * until a change has arrived.
 */
final class Flights<T> {
  /** Whether a session tells of changes just now. */
  private final BooleanSupplier isLive;

  private final boolean untilLanded;
  private final Map<Object, Flight<T>> open = new HashMap<>();

  private Flights(BooleanSupplier isLive, boolean untilLanded) {
    this.isLive = isLive;
    this.untilLanded = untilLanded;
  }

  /** Of requests; {@code isLive} says whether a session tells of changes just now. */
  static <T> Flights<T> ofRequests(BooleanSupplier isLive) {
    return new Flights<>(isLive, false);
  }

  /** Of work that is joined until it ends, or until this process itself has changed what it is about. */
  static <T> Flights<T> ofWork() {
    return new Flights<>(() -> true, true);
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
      boolean isTooLate = underWay != null && underWay.sent && !isLive.getAsBoolean();
      isNew = underWay == null || isTooLate || !mayJoin.test(underWay) || !underWay.audience().enter();
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

  /** {@code isWatched}: a session tells of the changes of its namespace. */
  synchronized void sent(Flight<T> flight, boolean isWatched) {
    flight.sent = true;
    if (!isWatched) remove(flight);
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
