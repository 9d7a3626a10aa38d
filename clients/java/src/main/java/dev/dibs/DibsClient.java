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
 * A client of Dibs. One for each process is enough: it holds one channel, with a session for each address of the
 * target. Any number of calls go at once, from any threads.
 */
public final class DibsClient implements Dibs {
  /** What {@link #close()} waits for rebuilds and publishes behind. */
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
   * A client with its defaults.
   *
   * @return takes what is to be otherwise
   */
  public static DibsClientBuilder builder() {
    return new DibsClientBuilder();
  }

  @Override
  public <V, E extends Exception> V getOrRebuild(String key, Options<V> options, RebuildFunction<V, E> rebuild)
      throws E {
    Found near = asking.near(key, options);
    // The clock is read for calls that go out only: a near hit costs little more than that.
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
    return Futures.await(asking.many(keys, options, rebuild), null);
  }

  @Override
  public <V> CompletableFuture<Map<String, V>> getOrRebuildManyAsync(
      Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild) {
    try {
      return asking.many(keys, options, rebuild);
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
      // It goes on, and may have been done already: this caller's next call must not find what was there before.
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
   * Who has the lease of a key and since when, who waits, what is cached, and how the last leases ended.
   *
   * @param key 1 to 1024 bytes of UTF-8, in the client's namespace
   * @return for people, and not for decisions: it is old when it arrives
   * @throws DibsStatusException for bad input, and where the service does not answer within 5 s
   */
  public Explanation explain(String key) {
    return Futures.await(explaining(key), null);
  }

  /**
   * The same without waiting for it.
   *
   * @param key 1 to 1024 bytes of UTF-8, in the client's namespace
   * @return completes on a thread of the client's executor; fails with what the other form throws
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
   * Waits until there is a connection. A process that starts under load calls it before it takes any: calls that find
   * no connection in time rebuild without the service.
   *
   * @param timeout how long to wait at most
   * @return false if there is none by then
   * @throws InterruptedException where this thread is interrupted meanwhile
   */
  public boolean ready(Duration timeout) throws InterruptedException {
    return parts.connection().awaitReady(timeout);
  }

  /**
   * Waits until the rebuilds behind stale values, and the publishes that are repeated, have ended.
   *
   * @param timeout how long to wait at most
   * @return false where some have not ended by then
   * @throws InterruptedException where this thread is interrupted meanwhile
   */
  public boolean flush(Duration timeout) throws InterruptedException {
    return parts.background().await(timeout);
  }

  /**
   * For what this class has no method of: {@code CoordinatorServiceGrpc.newBlockingStub(client.channel())}. The token
   * is attached, and the traceparent of the current span; deadlines are the caller's.
   *
   * @return ends with this client
   */
  public Channel channel() {
    return channel;
  }

  /** Makes no more calls. Those that were made already still end; their work in the background has 2 s to end. */
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

  /** What is thrown at once is told by the future too. Completing that before its time takes the caller out. */
  private <T, R> CompletableFuture<R> async(
      Supplier<CompletableFuture<T>> call, Function<T, R> read) {
    CompletableFuture<T> under;
    try {
      under = call.get();
    } catch (DibsException error) {
      return CompletableFuture.failedFuture(error);
    }
    CompletableFuture<R> result = Futures.on(parts.executor(), under, read);
    result.whenComplete((value, error) -> under.cancel(false));
    return result;
  }

  private interface Step {
    void with(Found found);
  }

  /** Elsewhere than on the network's thread, for what follows is the user's and may take its time. */
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
