package dev.dibs;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * Watches the channel. Limits how long calls wait for a connection: with plain gRPC, they wait for an address that does
 * not answer until their deadlines. Also retries sooner: plain gRPC would wait up to two minutes.
 */
final class Connection implements AddressBalancer.Hears {
  private static final long RETRY_MS_MIN = 100;
  private static final long RETRY_MS_MAX = 1_000;

  /** For an address that has been unavailable for longer than a restart. Plain gRPC would wait up to two minutes. */
  private static final long RETRY_MS_LATER = 30_000;

  /** Longer than a replica takes to start. */
  private static final long RESTART_NANOS = TimeUnit.SECONDS.toNanos(60);

  private final ManagedChannel channel;
  private final String target;
  private final Duration bound;

  /** The connection is late; calls do not wait for it again until the channel has made progress. */
  private boolean late;

  /** Completes when the channel has made progress; null if no call waits for that. */
  private CompletableFuture<Void> underWay;

  private boolean retrying;

  /** Completes when there is a connection; null if no caller waits for that. */
  private CompletableFuture<Void> ready;

  private Set<SocketAddress> connected = Set.of();
  private boolean missesSome;

  /** Null if no address is unavailable. */
  private Future<?> retryingAway;

  private long restartingUntilNanos;

  Connection(ManagedChannel channel, String target, Duration bound) {
    this.channel = channel;
    this.target = target;
    this.bound = bound;
  }

  void watch() {
    ConnectivityState state = channel.getState(false);
    if (state == ConnectivityState.SHUTDOWN) return;
    // Registered first: a change that comes meanwhile is reported at once.
    channel.notifyWhenStateChanged(state, this::watch);
    if (!isConnecting(state)) arrived();
    if (state == ConnectivityState.READY) isReady();
    if (state == ConnectivityState.TRANSIENT_FAILURE) retry();
  }

  /** Whether a connection exists within the time. */
  boolean awaitReady(Duration timeout) throws InterruptedException {
    CompletableFuture<Void> there;
    synchronized (this) {
      if (ready == null) ready = new CompletableFuture<>();
      there = ready;
    }
    // The connection may have been made before the listener was registered.
    if (channel.getState(true) == ConnectivityState.READY) return true;
    try {
      there.get(TimeUnit.NANOSECONDS.convert(timeout), TimeUnit.NANOSECONDS);
      return true;
    } catch (TimeoutException error) {
      return false;
    } catch (ExecutionException error) {
      throw new AssertionError(error);
    }
  }

  /** An address that is no longer connected may be restarting. While others are connected, no call has to fail. */
  @Override
  public synchronized void connected(Set<SocketAddress> addresses, boolean all) {
    boolean isLost = !addresses.containsAll(connected);
    connected = addresses;
    missesSome = !all;
    if (isLost) brokeOff();
    else if (missesSome && retryingAway == null) retryAway(RETRY_MS_LATER);
  }

  /**
   * A call broke off, perhaps because its replica is restarting. gRPC waits longer each time before it retries such an
   * address while other addresses work; when those restart in turn, this one must be connected.
   */
  synchronized void brokeOff() {
    boolean isRetrying = retryingAway != null && mayRestart();
    restartingUntilNanos = System.nanoTime() + RESTART_NANOS;
    if (isRetrying) return;
    if (retryingAway != null) retryingAway.cancel(false);
    retryAway(RETRY_MS_MAX);
  }

  private boolean mayRestart() {
    return restartingUntilNanos != 0 && restartingUntilNanos - System.nanoTime() > 0;
  }

  private void retryAway(long pauseMs) {
    retryingAway = Threads.after(Duration.ofMillis(pauseMs), this::tryAway);
  }

  private synchronized void tryAway() {
    retryingAway = null;
    if (channel.isShutdown() || !(mayRestart() || missesSome)) return;
    retryAway(mayRestart() ? RETRY_MS_MAX : RETRY_MS_LATER);
    channel.resetConnectBackoff();
  }

  private void isReady() {
    CompletableFuture<Void> there;
    synchronized (this) {
      there = ready;
      ready = null;
    }
    if (there != null) there.complete(null);
  }

  /** Calls {@code onLate} if there is no connection within the time limit, which is shared by all calls. */
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
    // It may have arrived after the state was read; no change of state would follow.
    if (!isConnecting(channel.getState(false))) arrived();
    arrival.whenComplete((there, error) -> {
      if (error != null) onLate.accept(DibsStatusException.of(error));
    });
  }

  private CompletableFuture<Void> bounded() {
    CompletableFuture<Void> arrival = new CompletableFuture<>();
    Runnable stop = RunningTime.after(bound, () -> isLate(arrival));
    arrival.whenComplete((there, error) -> stop.run());
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

  /** A failure lasts until there is a connection, so the next failure causes no change of state. */
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
