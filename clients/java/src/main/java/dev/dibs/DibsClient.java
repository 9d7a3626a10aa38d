package dev.dibs;

import dev.dibs.Transport.Terms;
import dev.dibs.v1.ExplainRequest;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import java.time.Duration;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * A Dibs client. Create one per process: it holds one channel, with one session per address of the target. Thread-safe,
 * for any number of concurrent calls.
 */
public final class DibsClient implements Dibs {
  /** How long {@link #close()} waits for background rebuilds and publishes. */
  private static final Duration FLUSH = Duration.ofSeconds(2);

  private final Channel channel;
  private final Parts parts;
  private final Asking asking;

  DibsClient(Channel channel, Parts parts) {
    this.channel = ClientInterceptors.intercept(channel, new CurrentTrace());
    this.parts = parts;
    this.asking = new Asking(this, parts);
  }

  /**
   * Builds a client; everything has a default.
   *
   * @return the builder
   */
  public static DibsClientBuilder builder() {
    return new DibsClientBuilder();
  }

  @Override
  public <V, E extends Exception> V getOrRebuild(String key, Options<V> options, RebuildFunction<V, E> rebuild)
      throws E {
    Found near = asking.near(key, options);
    // The clock is read only for calls that are sent: a near hit costs little more than reading it.
    long sinceNanos = near == null ? System.nanoTime() : 0;
    Found found = near;
    if (near == null) {
      Question about = asking.question(key, options, rebuild);
      found = Futures.await(new Caller(parts, about).start(), about.body().writtenAs());
    }
    try {
      return Values.decoded(options, found);
    } catch (RuntimeException error) {
      if (found.isOwn()) throw error;
      Question about = asking.question(key, options, rebuild);
      CompletableFuture<Found> seat = asking.again(about, near == null ? sinceNanos : System.nanoTime(), error);
      return Values.decoded(options, Futures.await(seat, about.body().writtenAs()));
    }
  }

  @Override
  public <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, RebuildFunction<V, ?> rebuild) {
    CompletableFuture<V> result = new CompletableFuture<>();
    Question about;
    try {
      about = asking.question(key, options, rebuild);
    } catch (DibsException error) {
      return CompletableFuture.failedFuture(error);
    }
    long sinceNanos = System.nanoTime();
    Found near = asking.near(key, options);
    var seat = near != null ? CompletableFuture.completedFuture(near) : new Caller(parts, about).start();
    whenFound(about, seat, result, found -> {
      try {
        result.complete(Values.decoded(options, found));
      } catch (RuntimeException error) {
        if (found.isOwn()) throw error;
        var again = asking.again(about, sinceNanos, error);
        whenFound(about, again, result, anew -> result.complete(Values.decoded(options, anew)));
      }
    });
    return result;
  }

  @Override
  public <V> Optional<Cached<V>> get(String key, Options<V> options) {
    return asking.cached(key, options, Futures.await(asking.read(key, options), null));
  }

  @Override
  public <V> CompletableFuture<Optional<Cached<V>>> getAsync(String key, Options<V> options) {
    return async(() -> asking.read(key, options), found -> asking.cached(key, options, found));
  }

  @Override
  public <V> Published set(String key, V value, Options<V> options) {
    return Futures.await(asking.write(key, value, options), null);
  }

  @Override
  public <V> CompletableFuture<Published> setAsync(String key, V value, Options<V> options) {
    return async(() -> asking.write(key, value, options), published -> published);
  }

  @Override
  public <V> Map<String, V> getOrRebuildMany(
      Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild) {
    OwnThread steps = new OwnThread();
    CompletableFuture<Map<String, V>> result = asking.many(keys, options, rebuild, steps);
    steps.runUntil(result);
    return Futures.await(result, null);
  }

  @Override
  public <V> CompletableFuture<Map<String, V>> getOrRebuildManyAsync(
      Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild) {
    try {
      return asking.many(keys, options, rebuild, parts.executor());
    } catch (DibsException error) {
      return CompletableFuture.failedFuture(error);
    }
  }

  @Override
  public InvalidateResult invalidate(Invalidation what) {
    CompletableFuture<InvalidateResult> done = invalidating(what);
    try {
      return done.get();
    } catch (InterruptedException error) {
      // The invalidation goes on and may already have been applied: this caller's next call must not see the old value.
      new Invalidator(parts).arrived(what);
      Thread.currentThread().interrupt();
      throw DibsStatusException.cancelled("the caller was interrupted");
    } catch (ExecutionException error) {
      throw DibsStatusException.of(error.getCause());
    }
  }

  @Override
  public CompletableFuture<InvalidateResult> invalidateAsync(Invalidation what) {
    return async(() -> invalidating(what), done -> done);
  }

  private CompletableFuture<InvalidateResult> invalidating(Invalidation what) {
    asking.refuseClosed();
    return new Invalidator(parts).invalidate(what);
  }

  /**
   * Who holds the lease of a key and since when, who waits, what is cached, and how recent leases ended.
   *
   * @param key 1 to 1024 bytes of UTF-8, in the client's namespace
   * @return for people, not for decisions: it may be outdated when it arrives
   * @throws DibsStatusException for bad input, or if the service does not answer within 5 s
   */
  public Explanation explain(String key) {
    return Futures.await(explaining(key), null);
  }

  /**
   * As {@link #explain}, without blocking.
   *
   * @param key 1 to 1024 bytes of UTF-8, in the client's namespace
   * @return completes on a thread of the client's executor; fails with what the blocking form throws
   */
  public CompletableFuture<Explanation> explainAsync(String key) {
    return async(() -> explaining(key), explanation -> explanation);
  }

  private CompletableFuture<Explanation> explaining(String key) {
    asking.refuseClosed();
    Bounds.text("key", key);
    ExplainRequest request = ExplainRequest.newBuilder().setNamespace(parts.namespace()).setKey(key).build();
    Terms terms = Terms.within(Transport.DEADLINE, parts.tracing().ofCaller("").traceparent());
    return parts.transport().call(Method.EXPLAIN, request, terms).thenApply(Explanation::of);
  }

  /**
   * Waits until there is a connection. A process that starts under load should call it before it accepts work: calls
   * without a connection rebuild locally.
   *
   * @param timeout how long to wait at most
   * @return false if there is no connection by then
   * @throws InterruptedException if this thread is interrupted meanwhile
   */
  public boolean ready(Duration timeout) throws InterruptedException {
    return parts.connection().awaitReady(timeout);
  }

  /**
   * Waits until background rebuilds of stale values and repeated publishes have ended.
   *
   * @param timeout how long to wait at most
   * @return false if some have not ended by then
   * @throws InterruptedException if this thread is interrupted meanwhile
   */
  public boolean flush(Duration timeout) throws InterruptedException {
    return parts.background().await(timeout);
  }

  /**
   * The channel, for calls that this class has no method for:
   * {@code CoordinatorServiceGrpc.newBlockingStub(client.channel())}. It adds the token and the traceparent of the
   * current span; deadlines are up to the caller.
   *
   * @return a channel that closes with this client
   */
  public Channel channel() {
    return channel;
  }

  /** Accepts no more calls. Calls already made still complete; their background work gets 2 s. */
  @Override
  public void close() {
    asking.close();
    try {
      flush(FLUSH);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
    parts.transport().close();
  }

  /** An exception thrown at once also fails the future. Completing that early ends the call for this caller. */
  private <T, R> CompletableFuture<R> async(
      Supplier<CompletableFuture<T>> call, Function<T, R> read) {
    CompletableFuture<T> under;
    try {
      under = call.get();
    } catch (Throwable error) {
      return CompletableFuture.failedFuture(error);
    }
    CompletableFuture<R> result = Futures.on(parts.executor(), under, read);
    result.whenComplete((value, error) -> under.cancel(false));
    return result;
  }

  private interface Step {
    void with(Found found);
  }

  /** Not on the network thread: what follows is user code and may take long. */
  private void whenFound(Question about, CompletableFuture<Found> seat, CompletableFuture<?> result, Step next) {
    seat.thenAcceptAsync(next::with, parts.executor())
        .whenComplete((done, error) -> {
          if (error == null) return;
          Throwable thrown = Thrown.to(about.body().writtenAs(), Futures.cause(error));
          result.completeExceptionally(Thrown.inFuture(thrown));
        });
    result.whenComplete((value, error) -> seat.cancel(false));
  }
}
