package dev.dibs;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** Checks the arguments of calls and turns them into questions, before anything is sent. */
final class Asking {
  /** How long a call without {@code maxWait} waits for the rebuilds of others. */
  private static final Duration WAIT = Duration.ofSeconds(30);

  private final Object owner;
  private final Parts parts;
  private volatile boolean closed;

  /** {@code owner} is the client, whose rebuilds may not ask for their own keys. */
  Asking(Object owner, Parts parts) {
    this.owner = owner;
    this.parts = parts;
  }

  void close() {
    closed = true;
  }

  void refuseClosed() {
    if (closed) throw new DibsStatusException(Status.Code.CANCELLED, "this client is closed");
  }

  /** Null if this process has no fresh copy. */
  Found near(String key, Options<?> options) {
    if (parts.near() == null || closed || !options.mayJoin()) return null;
    String namespace = namespace(options);
    return nearHit(parts, namespace, key);
  }

  /** Null if this process has no fresh copy. */
  static Found nearHit(Parts parts, String namespace, String key) {
    Found found = parts.near().get(FullKey.of(namespace, key));
    if (found == null) return null;
    parts.metrics().nearHit(namespace);
    parts.hooks().tell(hooks -> hooks.onHit(namespace, key, Freshness.FRESH, HitSource.NEAR));
    return found;
  }

  /** A call with a rebuild. */
  <V> Question question(String key, Options<V> options, RebuildFunction<V, ?> rebuild) {
    refuseClosed();
    Bounds.text("key", key);
    Objects.requireNonNull(rebuild, "rebuild");
    FullKey fullKey = FullKey.of(namespace(options), key);
    Run.Body body = new OneRebuild<>(owner, fullKey, options, rebuild);
    Question about = about(key, options, body);
    RebuildChain.refuse(owner, fullKey);
    return about;
  }

  private Question about(String key, Options<?> options, Run.Body body) {
    options.refuseBroken();
    OnUnavailable onUnavailable =
        options.onUnavailable() == null ? parts.onUnavailable() : options.onUnavailable();
    Duration wait = options.maxWait() == null ? WAIT : options.maxWait();
    CallTrace trace = parts.tracing().ofCaller(options.traceparent());
    long calledNanos = System.nanoTime();
    long untilNanos = calledNanos + wait.toNanos();
    return new Question(namespace(options), key, options, onUnavailable, body, trace, calledNanos, untilNanos);
  }

  /** A value that the codec cannot decode counts as a miss, once, for all callers of this process that found it. */
  CompletableFuture<Found> again(Question about, long sinceNanos, RuntimeException error) {
    parts.metrics().undecodable(about.namespace());
    parts.hooks().tell(hooks -> hooks.onUndecodable(about.namespace(), about.key(), error));
    CompletableFuture<Found> result = new CompletableFuture<>();
    refresh(about.with(about.options().refresh()), sinceNanos, result);
    return result;
  }

  /** Callers that join have their own waits, and may outlast the first one's. */
  private void refresh(Question about, long sinceNanos, CompletableFuture<Found> result) {
    FullKey key = about.fullKey();
    Flights.Place<Found> place =
        parts
            .unreadable()
            .join(
                List.of(key, about.options().codec(), about.onUnavailable()),
                key,
                about.untilNanos(),
                // A rebuild that began before this call may have read data older than the call.
                underWay -> underWay.sinceNanos() - sinceNanos >= 0,
                flight -> new FetchLoop(parts, about, flight, How.replacing()).start());
    CompletableFuture<Found> seat = place.result();
    if (!place.isFirst()) Flight.bound(seat, about.untilNanos(), System.nanoTime());
    seat.whenComplete(
        (found, error) -> {
          boolean isOver = place.isFirst() || result.isDone();
          Duration pause = isOver ? null : Caller.pauseBeforeOwn(Futures.cause(error), about);
          if (pause == null) Futures.settle(result, found, error);
          else Caller.after(pause, result, () -> refresh(about, sinceNanos, result));
        });
    result.whenComplete((found, error) -> seat.cancel(false));
  }

  /** What is cached; null if nothing is. */
  CompletableFuture<Found> read(String key, Options<?> options) {
    refuseClosed();
    Bounds.text("key", key);
    Found near = near(key, options);
    if (near != null) return CompletableFuture.completedFuture(near);
    Options<?> waiting = options.maxWait() == null ? options.maxWait(Duration.ZERO) : options;
    Question about = about(key, waiting.onUnavailable(OnUnavailable.FAIL), new NoRebuild());
    CompletableFuture<Found> seat =
        parts
            .flights()
            .alone(about.fullKey(), flight -> new FetchLoop(parts, about, flight, How.reading()).start());
    CompletableFuture<Found> result = new CompletableFuture<>();
    seat.whenComplete(
        (found, error) -> {
          Throwable cause = Futures.cause(error);
          boolean isNone = cause instanceof DibsBusyException || cause instanceof RebuildFailedException;
          Futures.settle(result, found, isNone ? null : cause);
        });
    result.whenComplete((found, error) -> seat.cancel(false));
    return result;
  }

  /** {@code found} is null if nothing is cached. */
  <V> Optional<Cached<V>> cached(String key, Options<V> options, Found found) {
    if (found == null) return Optional.empty();
    try {
      return Optional.of(new Cached<>(Values.decoded(options, found), found.freshness()));
    } catch (RuntimeException error) {
      parts.metrics().undecodable(namespace(options));
      parts.hooks().tell(hooks -> hooks.onUndecodable(namespace(options), key, error));
      return Optional.empty();
    }
  }

  <V> CompletableFuture<Published> write(String key, V value, Options<V> options) {
    refuseClosed();
    Bounds.text("key", key);
    Question about = about(key, options.onUnavailable(OnUnavailable.FAIL), new NoRebuild());
    RebuildChain.refuse(owner, about.fullKey());
    return new WriteThrough(parts, about, Values.encoded(options, value)).start();
  }

  /** {@code steps} runs the codec, and completes the result. */
  <V> CompletableFuture<Map<String, V>> many(
      Collection<String> given, Options<V> options, RebuildManyFunction<V> rebuild, Executor steps) {
    refuseClosed();
    Objects.requireNonNull(rebuild, "rebuild");
    List<String> keys = new ArrayList<>(new LinkedHashSet<>(given));
    keys.forEach(key -> Bounds.text("keys", key));
    Question about = about("", options, new NoRebuild());
    keys.forEach(key -> RebuildChain.refuse(owner, FullKey.of(about.namespace(), key)));
    ManyRebuilds<V> rebuilds = new ManyRebuilds<>(owner, about.namespace(), options, rebuild);
    return new ManyCall<>(parts, about, options, keys, rebuilds, this::again).start(steps);
  }

  private String namespace(Options<?> options) {
    return options.namespace() == null ? parts.namespace() : options.namespace();
  }

  /** For a call without a rebuild. */
  private record NoRebuild() implements Run.Body {
    @Override
    public CompletableFuture<ByteString> start(Run run, Executor executor, long waitNanos) {
      return CompletableFuture.failedFuture(new IllegalStateException("this call has no rebuild"));
    }

    @Override
    public Class<?> writtenAs() {
      return NoRebuild.class;
    }
  }
}
