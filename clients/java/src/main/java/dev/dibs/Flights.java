package dev.dibs;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * Joins equal calls inside one process: those who come while one is under way share its result. Each caller leaves by
 * completing its own future; the call's signal is raised when all have.
 */
final class Flights<T> {
  private static final class Flight<T> {
    final CompletableFuture<T> result = new CompletableFuture<>();
    final Signal left = new Signal();
    int callers;
  }

  private final Map<Object, Flight<T>> flights = new HashMap<>();

  CompletableFuture<T> join(Object id, Function<Signal, CompletableFuture<T>> start) {
    Flight<T> flight;
    boolean isNew;
    synchronized (this) {
      Flight<T> underWay = flights.get(id);
      isNew = underWay == null;
      flight = isNew ? new Flight<>() : underWay;
      if (isNew) flights.put(id, flight);
      flight.callers += 1;
    }
    CompletableFuture<T> seat = new CompletableFuture<>();
    flight.result.whenComplete((value, error) -> Futures.settle(seat, value, error));
    seat.whenComplete((value, error) -> leave(id, flight));
    if (isNew) {
      started(start, flight.left)
          .whenComplete(
              (value, error) -> {
                land(id, flight);
                Futures.settle(flight.result, value, error);
              });
    }
    return seat;
  }

  /** What cannot even start has failed: the next caller must not join it. */
  private CompletableFuture<T> started(Function<Signal, CompletableFuture<T>> start, Signal left) {
    try {
      return start.apply(left);
    } catch (RuntimeException error) {
      return CompletableFuture.failedFuture(error);
    }
  }

  private void leave(Object id, Flight<T> flight) {
    if (flight.result.isDone()) return;
    synchronized (this) {
      flight.callers -= 1;
      if (flight.callers > 0) return;
      // Whoever comes from now on must not join what is being left.
      flights.remove(id, flight);
    }
    flight.left.raise();
  }

  /** Only the flight that is still its own: another may have begun since this one was abandoned. */
  private synchronized void land(Object id, Flight<T> flight) {
    flights.remove(id, flight);
  }
}
