package dev.dibs;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;

/**
 * Watches the channel. Bounds how long calls wait for a connection: gRPC alone lets them wait for an address that does
 * not answer as long as their deadlines. And tries again sooner: gRPC alone would wait up to two minutes.
 */
final class Connection {
  private static final long RETRY_MS_MIN = 100;
  private static final long RETRY_MS_MAX = 1_000;

  private final ManagedChannel channel;
  private final String target;
  private final Duration bound;

  /** The connection is late, and is not waited for again until the channel has got somewhere. */
  private boolean late;

  /** Ends when the channel has got somewhere; null where nobody waits for that. */
  private CompletableFuture<Void> underWay;

  private boolean retrying;

  Connection(ManagedChannel channel, String target, Duration bound) {
    this.channel = channel;
    this.target = target;
    this.bound = bound;
  }

  void watch() {
    ConnectivityState state = channel.getState(false);
    if (state == ConnectivityState.SHUTDOWN) return;
    // Asked for first: a change that comes meanwhile is told at once.
    channel.notifyWhenStateChanged(state, this::watch);
    if (!isConnecting(state)) arrived();
    if (state == ConnectivityState.TRANSIENT_FAILURE) retry();
  }

  /** Tells {@code onLate} where there is no connection within the bound, which runs once for all calls. */
  void ifLate(Consumer<DibsStatusException> onLate) {
    ConnectivityState state = channel.getState(true);
    if (!isConnecting(state)) return;
    CompletableFuture<Void> arrival;
    synchronized (this) {
      if (late && state == ConnectivityState.CONNECTING) {
        arrival = CompletableFuture.failedFuture(unavailable());
      } else {
        if (underWay == null) underWay = bounded();
        arrival = underWay;
      }
    }
    // It may have arrived since the state was read, and nobody would tell.
    if (!isConnecting(channel.getState(false))) arrived();
    arrival.whenComplete((there, error) -> {
      if (error != null) onLate.accept(DibsStatusException.of(error));
    });
  }

  private CompletableFuture<Void> bounded() {
    CompletableFuture<Void> arrival = new CompletableFuture<>();
    var timer = Threads.after(bound, () -> isLate(arrival));
    arrival.whenComplete((there, error) -> timer.cancel(false));
    return arrival;
  }

  private void isLate(CompletableFuture<Void> arrival) {
    if (!isConnecting(channel.getState(false))) arrived();
    synchronized (this) {
      if (underWay != arrival) return;
      underWay = null;
      late = true;
    }
    arrival.completeExceptionally(unavailable());
  }

  private void arrived() {
    CompletableFuture<Void> arrival;
    synchronized (this) {
      late = false;
      arrival = underWay;
      underWay = null;
    }
    if (arrival != null) arrival.complete(null);
  }

  private synchronized void retry() {
    if (retrying) return;
    retrying = true;
    retryAfter(RETRY_MS_MIN);
  }

  private void retryAfter(long pauseMs) {
    Duration jittered = Duration.ofMillis(Math.round(pauseMs * ThreadLocalRandom.current().nextDouble(0.8, 1)));
    Threads.after(jittered, () -> tryAgain(Math.min(2 * pauseMs, RETRY_MS_MAX)));
  }

  /** A failure stays until there is a connection, so that no change of state tells of the next one. */
  private synchronized void tryAgain(long nextPauseMs) {
    retrying = channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE;
    if (!retrying) return;
    channel.resetConnectBackoff();
    retryAfter(nextPauseMs);
  }

  private DibsStatusException unavailable() {
    return DibsStatusException.unavailable("no connection to %s within %d ms".formatted(target, bound.toMillis()));
  }

  private static boolean isConnecting(ConnectivityState state) {
    return state == ConnectivityState.IDLE || state == ConnectivityState.CONNECTING;
  }
}
