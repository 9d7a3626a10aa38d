package dev.dibs;

import com.google.protobuf.ByteString;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * A client of Dibs. One for each process is enough: it holds one channel, over which any number of calls go at once,
 * from any threads.
 */
public final class DibsClient implements Dibs {
  /** What a call that names no wait waits for the rebuilds of others. */
  private static final Duration WAIT = Duration.ofSeconds(30);

  /** What {@link #close()} waits for rebuilds and publishes behind. */
  private static final Duration FLUSH = Duration.ofSeconds(2);

  private final Channel channel;
  private final Parts parts;
  private volatile boolean closed;

  DibsClient(Channel channel, Parts parts) {
    this.channel = ClientInterceptors.intercept(channel, new CurrentTrace());
    this.parts = parts;
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
    Found near = near(key, options);
    // The clock is read for calls that go out only: a near hit costs little more than that.
    long sinceNanos = near == null ? System.nanoTime() : 0;
    Found found = near;
    if (near == null) {
      Question about = question(key, options, rebuild);
      found = await(about, new Caller(parts, about).start());
    }
    try {
      return decoded(options, found);
    } catch (RuntimeException error) {
      if (found.isOwn()) throw error;
      Question about = question(key, options, rebuild);
      return decoded(options, await(about, again(about, near == null ? sinceNanos : System.nanoTime(), error)));
    }
  }

  @Override
  public <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, RebuildFunction<V, ?> rebuild) {
    CompletableFuture<V> result = new CompletableFuture<>();
    Question about;
    try {
      about = question(key, options, rebuild);
    } catch (DibsException error) {
      return CompletableFuture.failedFuture(error);
    }
    long sinceNanos = System.nanoTime();
    Found near = near(key, options);
    var seat = near != null ? CompletableFuture.completedFuture(near) : new Caller(parts, about).start();
    whenFound(about, seat, result, found -> {
      try {
        result.complete(decoded(options, found));
      } catch (RuntimeException error) {
        if (found.isOwn()) throw error;
        whenFound(about, again(about, sinceNanos, error), result, anew -> result.complete(decoded(options, anew)));
      }
    });
    return result;
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
    try {
      return Futures.on(parts.executor(), invalidating(what));
    } catch (DibsException error) {
      return CompletableFuture.failedFuture(error);
    }
  }

  private CompletableFuture<InvalidateResult> invalidating(Invalidation what) {
    if (closed) throw isClosed();
    return new Invalidator(parts).invalidate(what);
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
    closed = true;
    try {
      flush(FLUSH);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
    parts.transport().close();
  }

  /** Null where this process has no fresh copy. */
  private Found near(String key, Options<?> options) {
    if (parts.near() == null || closed || !options.mayJoin()) return null;
    String namespace = options.namespace() == null ? parts.namespace() : options.namespace();
    Found found = parts.near().get(FullKey.of(namespace, key));
    if (found != null) parts.hooks().tell(hooks -> hooks.onHit(namespace, key, Freshness.FRESH));
    return found;
  }

  private <V> Question question(String key, Options<V> options, RebuildFunction<V, ?> rebuild) {
    if (closed) throw isClosed();
    Bounds.text("key", key);
    Objects.requireNonNull(rebuild, "rebuild");
    options.refuseBroken();
    String namespace = options.namespace() == null ? parts.namespace() : options.namespace();
    FullKey fullKey = FullKey.of(namespace, key);
    RebuildChain.refuse(this, fullKey);
    OnUnavailable onUnavailable =
        options.onUnavailable() == null ? parts.onUnavailable() : options.onUnavailable();
    Run.Making making =
        run ->
            RebuildChain.run(
                this, fullKey, () -> encoded(options, rebuild.rebuild(new RunOf<>(run, options.codec()))));
    Run.Body body = new Run.Body(making, SourceRebuild.writtenAs(rebuild));
    Duration wait = options.maxWait() == null ? WAIT : options.maxWait();
    CallTrace trace = parts.tracing().ofCaller(options.traceparent());
    return new Question(namespace, key, options, onUnavailable, body, trace, System.nanoTime() + wait.toNanos());
  }

  /** A value that the codec cannot read is a miss, once: for all callers of this process that found it so. */
  private CompletableFuture<Found> again(Question about, long sinceNanos, RuntimeException error) {
    parts.hooks().tell(hooks -> hooks.onUndecodable(about.namespace(), about.key(), error));
    Question refresh = about.with(about.options().refresh());
    FullKey key = about.fullKey();
    return parts
        .unreadable()
        .join(
            List.of(key, about.options().codec()),
            key,
            about.untilNanos(),
            // One that began before this call may have read what is older than it.
            underWay -> underWay.sinceNanos() - sinceNanos >= 0,
            flight -> new FetchLoop(parts, refresh, flight).start());
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

  /** Throws what the rebuild of this call declares, and nothing else that is checked. */
  private static Found await(Question about, CompletableFuture<Found> seat) {
    try {
      return seat.get();
    } catch (InterruptedException error) {
      seat.cancel(false);
      Thread.currentThread().interrupt();
      throw DibsStatusException.cancelled("the caller was interrupted");
    } catch (ExecutionException error) {
      throw Thrown.unchecked(Thrown.to(about.body().writtenAs(), error.getCause()));
    }
  }

  private static DibsStatusException isClosed() {
    return new DibsStatusException(Status.Code.CANCELLED, "this client is closed");
  }

  private static <V> ByteString encoded(Options<V> options, V value) {
    if (value == null) return null;
    byte[] bytes = options.codec().encode(value);
    if (bytes == null) throw new NullPointerException("the codec's encode returned null: return bytes");
    return ByteString.copyFrom(bytes);
  }

  private static <V> V decoded(Options<V> options, Found found) {
    return found.bytes() == null ? null : options.codec().decode(found.bytes().toByteArray());
  }
}
