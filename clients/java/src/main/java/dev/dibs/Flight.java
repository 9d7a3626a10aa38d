package dev.dibs;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/**
 * One call of this process that several callers may share. Each caller has its own future, and can leave separately.
 */
final class Flight<T> {
  /** The retry delay for a caller whose wait ended while its own process was rebuilding. */
  private static final Duration RETRY_AFTER = Duration.ofMillis(100);

  private record Seat<T>(CompletableFuture<T> result, long untilNanos) {}

  private final Object id;
  private final FullKey key;
  private final Flights<T> flights;
  private final long sinceNanos = System.nanoTime();
  private final Audience audience = new Audience();
  private final CompletableFuture<T> result = new CompletableFuture<>();

  /** The futures of the callers that joined, while no rebuild is running. */
  private final List<Seat<T>> joined = new ArrayList<>(0);

  private long rebuildingSinceNanos;
  private boolean rebuilding;

  /** Guarded by the lock of the flights. */
  boolean sent;

  Flight(Object id, FullKey key, Flights<T> flights) {
    this.id = id;
    this.key = key;
    this.flights = flights;
    audience.left().onRaise(() -> flights.remove(this));
  }

  Object id() {
    return id;
  }

  FullKey key() {
    return key;
  }

  long sinceNanos() {
    return sinceNanos;
  }

  Audience audience() {
    return audience;
  }

  /**
   * The request leaves now: a change that arrives from here on may be newer than its answer. {@code isWatched}: whether
   * such changes will be reported.
   */
  void sending(boolean isWatched) {
    flights.sent(this, isWatched);
  }

  /**
   * A rebuild is running for this flight. The caller that began it stays until the end. From here on the others wait
   * for another caller's rebuild, each for its own time.
   */
  void rebuilding() {
    flights.rebuilding(this);
    List<Seat<T>> bound;
    synchronized (this) {
      if (rebuilding) return;
      rebuilding = true;
      rebuildingSinceNanos = System.nanoTime();
      bound = List.copyOf(joined);
      joined.clear();
    }
    bound.forEach(this::bind);
  }

  /** The result of the whole flight. */
  void land(T value, Throwable error) {
    flights.remove(this);
    Futures.settle(result, value, error);
  }

  /** The future of the caller that began the flight. */
  CompletableFuture<T> first() {
    return seat();
  }

  /** The future of a caller that joined and has entered the audience. */
  CompletableFuture<T> joined(long untilNanos) {
    Seat<T> seat = new Seat<>(seat(), untilNanos);
    boolean isBound;
    synchronized (this) {
      isBound = rebuilding;
      if (!isBound) joined.add(seat);
    }
    if (isBound) bind(seat);
    return seat.result();
  }

  private CompletableFuture<T> seat() {
    CompletableFuture<T> seat = new CompletableFuture<>();
    result.whenComplete((value, error) -> Futures.settle(seat, value, error));
    seat.whenComplete(
        (value, error) -> {
          if (!result.isDone()) audience.leave();
        });
    return seat;
  }

  private void bind(Seat<T> seat) {
    bound(seat.result(), seat.untilNanos(), rebuildingSinceNanos);
  }

  /** Ends the wait of {@code result} for a rebuild of its own process when its time is over. */
  static void bound(CompletableFuture<?> result, long untilNanos, long rebuildingSinceNanos) {
    long leftNanos = untilNanos - System.nanoTime();
    if (leftNanos <= 0) {
      result.completeExceptionally(waitEnded(rebuildingSinceNanos));
      return;
    }
    Future<?> timer =
        Threads.after(
            Duration.ofNanos(leftNanos), () -> result.completeExceptionally(waitEnded(rebuildingSinceNanos)));
    result.whenComplete((value, error) -> timer.cancel(false));
  }

  static DibsBusyException waitEnded(long rebuildingSinceNanos) {
    Duration age = Duration.ofNanos(System.nanoTime() - rebuildingSinceNanos);
    return new DibsBusyException(BusyReason.WAIT_ENDED, RETRY_AFTER, age);
  }
}
