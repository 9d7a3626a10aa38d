package dev.dibs;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;

/**
 * Groups the rebuilds of single keys into calls for several: first all keys of the first answers, then the rest.
 *
 * @param <V> type of the values
 */
final class ManyRebuilds<V> {
  /**
   * Keys whose leases are granted later, one after the other, are rebuilt together if they come within this time. It
   * doubles with each such rebuild: under load, leases for a thousand keys trickle in.
   */
  private static final long GATHER_MS_MIN = 10;

  private static final long GATHER_MS_MAX = 160;

  /** One key of a batch. {@code waitNanos} limits the wait for a thread. */
  private record Waiting(Run run, Executor executor, long waitNanos, CompletableFuture<ByteString> result) {}

  /** The result of a batch, by key. */
  private record Made(Map<String, ByteString> bytes, Map<String, Throwable> broken) {}

  private final Object owner;
  private final String namespace;
  private final Options<V> options;
  private final RebuildManyFunction<V> rebuild;
  private Map<String, Waiting> waiting = new LinkedHashMap<>();
  private boolean hasAnswers;
  private boolean isPlanned;
  private long gatherMs = GATHER_MS_MIN;

  /** {@code owner} is the client, which its rebuild may not ask for the same keys. */
  ManyRebuilds(Object owner, String namespace, Options<V> options, RebuildManyFunction<V> rebuild) {
    this.owner = owner;
    this.namespace = namespace;
    this.options = options;
    this.rebuild = rebuild;
  }

  /** Rebuilds one key, together with others. */
  Run.Body of(String key) {
    return new Run.Body() {
      @Override
      public CompletableFuture<ByteString> start(Run run, Executor executor, long waitNanos) {
        return made(key, new Waiting(run, executor, waitNanos, new CompletableFuture<>()));
      }

      @Override
      public Class<?> writtenAs() {
        return SourceManyRebuild.writtenAs(rebuild);
      }
    };
  }

  /** The first answers of all keys have come and been processed. Only the first time counts. */
  void answered() {
    synchronized (this) {
      if (hasAnswers) return;
      hasAnswers = true;
      isPlanned = true;
    }
    runGathered();
  }

  private CompletableFuture<ByteString> made(String key, Waiting one) {
    Waiting before;
    synchronized (this) {
      before = waiting.put(key, one);
      if (hasAnswers) gather();
    }
    // The lease was lost before the rebuild began.
    if (before != null) notBegun(before);
    return one.result();
  }

  private void gather() {
    if (isPlanned) return;
    isPlanned = true;
    Threads.after(Duration.ofMillis(gatherMs), this::runGathered);
    gatherMs = Math.min(GATHER_MS_MAX, 2 * gatherMs);
  }

  private void runGathered() {
    Map<String, Waiting> batch;
    synchronized (this) {
      isPlanned = false;
      batch = waiting;
      waiting = new LinkedHashMap<>();
    }
    List<Waiting> stopped = new ArrayList<>(0);
    batch.values().removeIf(one -> one.run().stopped().isRaised() && stopped.add(one));
    if (!batch.isEmpty()) run(batch);
    stopped.forEach(ManyRebuilds::notBegun);
  }

  private static void notBegun(Waiting one) {
    one.result().completeExceptionally(new Run.NotBegunException("its lease was lost, or its caller has left", null));
  }

  private void run(Map<String, Waiting> batch) {
    RunThread<Made> thread = new RunThread<>(() -> made(batch), SourceManyRebuild.writtenAs(rebuild));
    AtomicInteger left = new AtomicInteger(batch.size());
    List<Runnable> forget = new ArrayList<>(batch.size());
    for (Waiting one : batch.values()) {
      forget.add(one.run().stopped().onRaise(() -> {
        if (left.decrementAndGet() == 0) thread.stop();
      }));
    }
    // All have the same executor. The context is that of the first: one call has one context.
    Waiting first = batch.values().iterator().next();
    long waitNanos = batch.values().stream().mapToLong(Waiting::waitNanos).max().orElse(0);
    thread
        .start(first.executor(), waitNanos)
        .whenComplete(
            (made, error) -> {
              forget.forEach(Runnable::run);
              batch.forEach(
                  (key, one) -> {
                    Throwable why = error == null ? made.broken().get(key) : error;
                    Futures.settle(one.result(), error == null ? made.bytes().get(key) : null, why);
                  });
            });
  }

  private Made made(Map<String, Waiting> batch) throws Exception {
    List<String> keys = List.copyOf(batch.keySet());
    Map<String, Rebuild<V>> rebuilds = new LinkedHashMap<>();
    batch.forEach((key, one) -> rebuilds.put(key, new RunOf<>(one.run(), options.codec())));
    Set<FullKey> full = keys.stream().map(key -> FullKey.of(namespace, key)).collect(Collectors.toSet());
    Map<String, ? extends V> values =
        RebuildChain.run(owner, full, () -> rebuild.rebuild(keys, new RebuildsOf<>(rebuilds)));
    if (values == null) throw new NullPointerException("the rebuild returned null: return a map of values by key");
    Made made = new Made(new HashMap<>(), new HashMap<>());
    for (String key : keys) {
      try {
        made.bytes().put(key, Values.encoded(options, values.get(key)));
      } catch (Throwable error) {
        made.broken().put(key, new Thrown(error, SourceManyRebuild.writtenAs(rebuild)));
      }
    }
    return made;
  }
}
