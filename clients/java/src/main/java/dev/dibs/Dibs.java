package dev.dibs;

import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * A cache in which one caller of the whole fleet rebuilds a missing value and all others wait for that rebuild.
 * {@link DibsClient} uses the service; {@code dev.dibs.testing.MemoryDibs} replaces it in unit tests.
 */
public interface Dibs extends AutoCloseable {
  /**
   * The value of a key: from the cache, from another caller's rebuild, or from {@code rebuild}. At most one caller in
   * the fleet runs {@code rebuild} at a time, on a thread of the client's executor.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param <E> the exception that {@code rebuild} throws
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and how this call behaves
   * @param rebuild reads the source; returns null if the source has no value
   * @return the value; null if the source has no value
   * @throws RebuildFailedException if another caller's rebuild failed and its back-off is in progress. Also if this
   *     call joined a rebuild from another place in this process, which threw a checked exception: that is the cause
   * @throws DibsBusyException if the wait ended first
   * @throws DibsStatusException for bad input; if the service cannot be reached, with {@link OnUnavailable#FAIL};
   *     with {@code CANCELLED} if this thread is interrupted meanwhile (its interrupt flag stays set)
   * @throws E the exception of {@code rebuild}, unchanged
   */
  <V, E extends Exception> V getOrRebuild(String key, Options<V> options, RebuildFunction<V, E> rebuild) throws E;

  /**
   * As {@link #getOrRebuild(String, Options, RebuildFunction)}, for a rebuild that does not use its lease.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param <E> the exception that {@code source} throws
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and how this call behaves
   * @param source returns null if it has no value
   * @return the value; null if the source has no value
   * @throws E as {@link #getOrRebuild(String, Options, RebuildFunction)}
   */
  default <V, E extends Exception> V getOrRebuild(String key, Options<V> options, Source<V, E> source) throws E {
    return getOrRebuild(key, options, SourceRebuild.of(source));
  }

  /**
   * As {@link #getOrRebuild(String, Options, RebuildFunction)}, without blocking. Completing the future early, with
   * {@code cancel} or {@code orTimeout}, ends the call for this caller. The rebuild is interrupted when no caller is
   * left.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and how this call behaves
   * @param rebuild reads the source; returns null if the source has no value
   * @return completes on a thread of the client's executor; fails with what the blocking form throws
   */
  <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, RebuildFunction<V, ?> rebuild);

  /**
   * As {@link #getOrRebuildAsync(String, Options, RebuildFunction)}, for a rebuild that does not use its lease.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and how this call behaves
   * @param source returns null if it has no value
   * @return as {@link #getOrRebuildAsync(String, Options, RebuildFunction)}
   */
  default <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, Source<V, ?> source) {
    return getOrRebuildAsync(key, options, SourceRebuild.of(source));
  }

  /**
   * The cached value, without a rebuild. Waits for a rebuild in progress only if {@code options} sets {@code maxWait}.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param key 1 to 1024 bytes of UTF-8
   * @param options the ttl has no meaning here
   * @return the value, or that the source has none; empty if nothing is cached or the codec cannot decode it
   * @throws DibsStatusException for bad input, or if the service cannot be reached
   */
  <V> Optional<Cached<V>> get(String key, Options<V> options);

  /**
   * As {@link #get}, without blocking.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param key 1 to 1024 bytes of UTF-8
   * @param options the ttl has no meaning here
   * @return completes on a thread of the client's executor; fails with what the blocking form throws
   */
  <V> CompletableFuture<Optional<Cached<V>>> getAsync(String key, Options<V> options);

  /**
   * Stores a value. If a rebuild of the key is in progress, waits for it first. Write to the source before this call.
   * Calls that begin after this has returned get nothing older.
   *
   * @param <V> type of the value, as encoded by the codec of {@code options}
   * @param key 1 to 1024 bytes of UTF-8
   * @param value null if the source has no value
   * @param options how long the value lives, and how long to wait for a rebuild in progress
   * @return the outcome; see {@link Published#isStored}
   * @throws DibsBusyException if the wait ended first
   * @throws RebuildFailedException if the rebuild that it waited for failed
   * @throws ReentrantRebuildException in a rebuild of the same key
   * @throws DibsStatusException for bad input, before anything is sent; if the service cannot be reached: the
   *     value may then be stored or not
   */
  <V> Published set(String key, V value, Options<V> options);

  /**
   * As {@link #set}, without blocking.
   *
   * @param <V> type of the value, as encoded by the codec of {@code options}
   * @param key 1 to 1024 bytes of UTF-8
   * @param value null if the source has no value
   * @param options how long the value lives, and how long to wait for a rebuild in progress
   * @return completes on a thread of the client's executor; fails with what the blocking form throws
   */
  <V> CompletableFuture<Published> setAsync(String key, V value, Options<V> options);

  /**
   * As {@link #getOrRebuild(String, Options, RebuildFunction)}, for any number of keys. The rebuild is called once for
   * all keys that are missing, and again for keys whose leases are granted later.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param keys each 1 to 1024 bytes of UTF-8; duplicates count once
   * @param options how long the values live, and how this call behaves
   * @param rebuild reads the source; omits the keys for which the source has no value
   * @return the value of each key, in the order of the call; null if the source has no value
   * @throws DibsManyException if some keys failed, with their errors and the values of the others
   * @throws ReentrantRebuildException in a rebuild of one of the keys
   * @throws DibsStatusException for bad input; with {@code CANCELLED} if this thread is interrupted meanwhile
   */
  <V> Map<String, V> getOrRebuildMany(Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild);

  /**
   * As {@link #getOrRebuildMany(Collection, Options, RebuildManyFunction)}, for a rebuild that does not use its leases.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param keys each 1 to 1024 bytes of UTF-8; duplicates count once
   * @param options how long the values live, and how this call behaves
   * @param source omits the keys for which it has no value
   * @return as {@link #getOrRebuildMany(Collection, Options, RebuildManyFunction)}
   */
  default <V> Map<String, V> getOrRebuildMany(Collection<String> keys, Options<V> options, SourceMany<V> source) {
    return getOrRebuildMany(keys, options, SourceManyRebuild.of(source));
  }

  /**
   * As {@link #getOrRebuildMany(Collection, Options, RebuildManyFunction)}, without blocking. Completing the future
   * early ends the call for this caller.
   *
   * @param <V> type of the value, as decoded by the codec of {@code options}
   * @param keys each 1 to 1024 bytes of UTF-8; duplicates count once
   * @param options how long the values live, and how this call behaves
   * @param rebuild reads the source; omits the keys for which the source has no value
   * @return completes on a thread of the client's executor; fails with what the blocking form throws
   */
  <V> CompletableFuture<Map<String, V>> getOrRebuildManyAsync(
      Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild);

  /**
   * Drops values or marks them stale, and voids rebuilds of them that are in progress. Commit to the source first, then
   * invalidate. Safe to repeat.
   *
   * @param what keys, tags or everything
   * @return the number of values and rebuilds reached
   * @throws DibsStatusException for bad input, or if the service does not answer within 5 s
   */
  InvalidateResult invalidate(Invalidation what);

  /**
   * As {@link #invalidate}, without blocking.
   *
   * @param what keys, tags or everything
   * @return completes on a thread of the client's executor; fails with what the blocking form throws
   */
  CompletableFuture<InvalidateResult> invalidateAsync(Invalidation what);

  /** Accepts no more calls. Calls already made still complete. */
  @Override
  void close();
}
