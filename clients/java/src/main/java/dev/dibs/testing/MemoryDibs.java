package dev.dibs.testing;

import dev.dibs.Cached;
import dev.dibs.Dibs;
import dev.dibs.DibsManyException;
import dev.dibs.DibsStatusException;
import dev.dibs.Freshness;
import dev.dibs.InvalidateResult;
import dev.dibs.Invalidation;
import dev.dibs.Options;
import dev.dibs.PublishOutcome;
import dev.dibs.Published;
import dev.dibs.RebuildFailedException;
import dev.dibs.RebuildFunction;
import dev.dibs.RebuildMany;
import dev.dibs.RebuildManyFunction;
import dev.dibs.RebuildReason;
import dev.dibs.ReentrantRebuildException;
import io.grpc.Status;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Predicate;

/**
 * Dibs in this process's memory, for unit tests. Time stands still until {@link #advance} is called: nothing expires by
 * itself. Rebuilds run one at a time per key, on the thread of the first caller; callers that arrive meanwhile share
 * the result. A stale value is returned only after its background rebuild has ended, so tests never wait for a thread.
 * Values go through their codec. Waits, leases and reads of the store have no effect.
 */
public final class MemoryDibs implements Dibs {
  private final Map<Id, Entry> entries = new HashMap<>();
  private final Map<Id, Failure> failures = new HashMap<>();
  private final Map<Id, Flight> flights = new HashMap<>();
  private Duration now = Duration.ZERO;
  private long lastFence;
  private boolean closed;

  /** An empty cache. */
  public MemoryDibs() {}

  /**
   * Advances the clock for all values.
   *
   * @param duration not negative
   */
  public synchronized void advance(Duration duration) {
    now = now.plus(duration);
  }

  @Override
  public <V, E extends Exception> V getOrRebuild(String key, Options<V> options, RebuildFunction<V, E> rebuild)
      throws E {
    Id id = Id.of(key, options);
    for (; ; ) {
      Flight flight;
      boolean isMine;
      Entry known;
      synchronized (this) {
        known = readable(id, options);
        boolean isServed = backsOff(id, options, known) || (isFresh(known) && !options.isRefresh());
        if (isServed) return decoded(options, known.bytes());
        flight = running(id);
        isMine = flight == null;
        if (isMine) flight = begun(id, options, known);
      }
      if (isMine) return rebuilt(id, options, rebuild, known, flight);
      if (known != null && maySee(options)) return decoded(options, known.bytes());
      // A rebuild that began before is no refresh.
      if (options.isRefresh()) after(id, flight);
      else return decoded(options, flight.await());
    }
  }

  @Override
  public <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, RebuildFunction<V, ?> rebuild) {
    return Later.of(() -> getOrRebuild(key, options, rebuild));
  }

  @Override
  public <V> Optional<Cached<V>> get(String key, Options<V> options) {
    Entry known;
    Freshness freshness;
    synchronized (this) {
      if (closed) throw isClosed();
      known = known(Id.of(key, options));
      freshness = isFresh(known) ? Freshness.FRESH : Freshness.STALE;
    }
    boolean isHidden = freshness == Freshness.STALE && options.stale() == Options.Stale.FORBID;
    if (known == null || isHidden) return Optional.empty();
    try {
      return Optional.of(new Cached<>(decoded(options, known.bytes()), freshness));
    } catch (RuntimeException error) {
      // Not decodable: counts as missing.
      return Optional.empty();
    }
  }

  @Override
  public <V> CompletableFuture<Optional<Cached<V>>> getAsync(String key, Options<V> options) {
    return Later.of(() -> get(key, options));
  }

  @Override
  public <V> Published set(String key, V value, Options<V> options) {
    Id id = Id.of(key, options);
    byte[] bytes = value == null ? null : options.codec().encode(value);
    for (; ; ) {
      Flight flight;
      synchronized (this) {
        if (closed) throw isClosed();
        flight = running(id);
        if (flight == null) {
          lastFence += 1;
          Flight.supersede(flights.remove(id));
          put(id, options, new Flight(lastFence, RebuildReason.REFRESH, options.tags()), bytes);
          return new Published(PublishOutcome.STORED, lastFence, Optional.of(true), false);
        }
      }
      after(id, flight);
    }
  }

  /** Waits for a rebuild whose value is not wanted. Callers that wait for it get its failure, as in the service. */
  private void after(Id id, Flight flight) {
    if (flight.isSuccess()) return;
    synchronized (this) {
      Failure failure = failures.get(id);
      // None is left if the key was invalidated meanwhile.
      if (failure == null || failure.until().compareTo(now) <= 0) return;
      throw new RebuildFailedException(failure.message(), failure.until().minus(now));
    }
  }

  @Override
  public <V> CompletableFuture<Published> setAsync(String key, V value, Options<V> options) {
    return Later.of(() -> set(key, value, options));
  }

  @Override
  public <V> Map<String, V> getOrRebuildMany(
      Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild) {
    Map<String, Flight> mine = new LinkedHashMap<>();
    Map<String, Entry> knownOf = new HashMap<>();
    synchronized (this) {
      for (String key : new LinkedHashSet<>(keys)) {
        Id id = Id.of(key, options);
        Entry known = readable(id, options);
        boolean isMissing = !isFresh(known) || options.isRefresh();
        boolean isFailed = failures.containsKey(id) && failures.get(id).until().compareTo(now) > 0;
        if (closed || !isMissing || isFailed || isHeld(id)) continue;
        mine.put(key, begun(id, options, known));
        knownOf.put(key, known);
      }
    }
    Map<String, ? extends V> made = Map.of();
    Throwable thrown = null;
    try {
      RebuildMany<V> told =
          key -> {
            if (!mine.containsKey(key)) throw new IllegalArgumentException("\"" + key + "\" is not one of the keys");
            Entry known = knownOf.get(key);
            return mine.get(key).context(options.codec(), known != null, known == null ? null : known.bytes());
          };
      if (!mine.isEmpty()) made = rebuild.rebuild(List.copyOf(mine.keySet()), told);
      if (made == null) throw new NullPointerException("the rebuild returned null: return a map of values by key");
    } catch (Throwable error) {
      thrown = error;
    }
    Map<String, V> values = new LinkedHashMap<>();
    Map<String, Throwable> errors = new LinkedHashMap<>();
    for (String key : new LinkedHashSet<>(keys)) {
      Flight flight = mine.get(key);
      Throwable fault = thrown;
      try {
        V value = thrown == null && flight != null ? made.get(key) : null;
        values.put(
            key,
            flight == null
                ? getOrRebuild(key, options, lease -> rebuild.rebuild(List.of(key), any -> lease).get(key))
                : rebuilt(Id.of(key, options), options, lease -> Later.orThrow(value, fault), knownOf.get(key), flight));
      } catch (Throwable error) {
        errors.put(key, error);
      }
    }
    if (!errors.isEmpty()) throw new DibsManyException(errors, values);
    return values;
  }

  @Override
  public <V> CompletableFuture<Map<String, V>> getOrRebuildManyAsync(
      Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild) {
    return Later.of(() -> getOrRebuildMany(keys, options, rebuild));
  }

  @Override
  public synchronized InvalidateResult invalidate(Invalidation what) {
    if (closed) throw isClosed();
    long values = what.keys().stream().filter(key -> known(new Id(what.namespace(), key)) != null).count();
    long leases = what.keys().stream().filter(key -> isHeld(new Id(what.namespace(), key))).count();
    failures.keySet().removeIf(id -> isMeant(what, id, List.of()));
    flights.forEach(
        (id, flight) -> {
          if (!id.equals(new Id(what.namespace(), id.key()))) return;
          if (what.keys().contains(id.key())) flight.lose();
          else flight.invalidate(what, now);
        });
    Predicate<Map.Entry<Id, Entry>> isMeant = one -> isMeant(what, one.getKey(), one.getValue().tags());
    if (what.markStale()) {
      entries.replaceAll((id, entry) -> isMeant(what, id, entry.tags()) ? entry.stale(now) : entry);
    } else {
      entries.entrySet().removeIf(isMeant);
    }
    return new InvalidateResult(values, leases);
  }

  @Override
  public CompletableFuture<InvalidateResult> invalidateAsync(Invalidation what) {
    return Later.of(() -> invalidate(what));
  }

  @Override
  public synchronized void close() {
    closed = true;
  }

  private <V, E extends Exception> V rebuilt(
      Id id, Options<V> options, RebuildFunction<V, E> rebuild, Entry known, Flight flight) throws E {
    boolean isBehind = known != null && maySee(options);
    byte[] bytes;
    try {
      V value = rebuild.rebuild(flight.context(options.codec(), known != null, known == null ? null : known.bytes()));
      bytes = value == null ? null : options.codec().encode(value);
    } catch (Throwable error) {
      failed(id, flight, error);
      boolean isStaleEnough = options.isStaleIfError() && options.stale() != Options.Stale.FORBID;
      if (!isBehind && !(known != null && isStaleEnough && error instanceof Exception)) throw error;
      return decoded(options, known.bytes());
    }
    succeeded(id, options, flight, bytes);
    return decoded(options, isBehind ? known.bytes() : bytes);
  }

  private void succeeded(Id id, Options<?> options, Flight flight, byte[] bytes) {
    synchronized (this) {
      if (flight.counts()) put(id, options, flight, bytes);
      flights.remove(id, flight);
    }
    flight.result().complete(bytes);
  }

  private void put(Id id, Options<?> options, Flight flight, byte[] bytes) {
    Duration freshUntil = now.plus(flight.ttl(bytes == null ? options.absentTtl() : options.ttl()));
    Duration stale = flight.staleTtl(options.staleTtl() == null ? Duration.ZERO : options.staleTtl());
    failures.remove(id);
    entries.put(id, flight.marked(new Entry(bytes, freshUntil, freshUntil.plus(stale), flight.tags())));
  }

  private Flight begun(Id id, Options<?> options, Entry known) {
    lastFence += 1;
    Flight flight = new Flight(lastFence, reason(options, known), options.tags());
    Flight.supersede(flights.put(id, flight));
    return flight;
  }

  private void failed(Id id, Flight flight, Throwable error) {
    Failure failure = Failure.of(error);
    synchronized (this) {
      if (!flight.isLost()) failures.put(id, failure.from(now));
      flights.remove(id, flight);
    }
    flight.result().completeExceptionally(error);
  }

  /** Whether a value is served without a rebuild, because a back-off runs; throws if it runs and there is none. */
  private boolean backsOff(Id id, Options<?> options, Entry known) {
    if (closed) throw isClosed();
    Failure failure = failures.get(id);
    // It is ended by a refresh, also by that of a value that cannot be read.
    boolean isEnded = failure == null || options.isRefresh() || (known == null && known(id) != null);
    if (isEnded || failure.until().compareTo(now) <= 0) return false;
    if (known != null && (isFresh(known) || options.stale() != Options.Stale.FORBID)) return true;
    throw new RebuildFailedException(failure.message(), failure.until().minus(now));
  }

  /** The value if it is fresh or may be served stale; null otherwise. */
  private Entry known(Id id) {
    Entry entry = entries.get(id);
    return entry != null && entry.staleUntil().compareTo(now) > 0 ? entry : null;
  }

  /** The same, but null also if the codec cannot read it: it counts as missing, and is rebuilt. */
  private Entry readable(Id id, Options<?> options) {
    Entry entry = known(id);
    try {
      if (entry != null) decoded(options, entry.bytes());
      return entry;
    } catch (RuntimeException error) {
      return null;
    }
  }

  /** The rebuild to wait for; null if none runs, or if it began before an invalidation. */
  private Flight running(Id id) {
    Flight flight = flights.get(id);
    if (flight != null && flight.isOf(Thread.currentThread())) throw new ReentrantRebuildException(id.key());
    return flight == null || !flight.isOpen() ? null : flight;
  }

  private boolean isHeld(Id id) {
    Flight flight = flights.get(id);
    return flight != null && flight.isOpen();
  }

  private boolean isFresh(Entry entry) {
    return entry != null && entry.freshUntil().compareTo(now) > 0;
  }

  private static boolean maySee(Options<?> options) {
    return options.stale() != Options.Stale.FORBID
        && !options.isRefresh()
        && options.revalidate() == Options.Revalidate.BACKGROUND;
  }

  private static RebuildReason reason(Options<?> options, Entry known) {
    if (options.isRefresh()) return RebuildReason.REFRESH;
    return known == null ? RebuildReason.MISS : RebuildReason.EXPIRED;
  }

  private static boolean isMeant(Invalidation what, Id id, List<String> tags) {
    if (!id.equals(new Id(what.namespace(), id.key()))) return false;
    return what.all() || what.keys().contains(id.key()) || what.tags().stream().anyMatch(tags::contains);
  }

  private static <V> V decoded(Options<V> options, byte[] bytes) {
    return bytes == null ? null : options.codec().decode(bytes.clone());
  }

  private static DibsStatusException isClosed() {
    return new DibsStatusException(Status.Code.CANCELLED, "this client is closed");
  }
}
