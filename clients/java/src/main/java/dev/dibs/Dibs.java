package dev.dibs;

import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * Values that one caller in the fleet rebuilds while everyone else waits for it. {@link DibsClient} asks the service;
 * {@code dev.dibs.testing.MemoryDibs} stands in for it in unit tests.
 */
public interface Dibs extends AutoCloseable {
  /**
   * The value of a key: from the cache, from another caller's rebuild, or from {@code rebuild}, which at most one
   * caller in the fleet runs at a time. It runs on a thread of the client's executor.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param <E> what {@code rebuild} throws
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and what this call wants
   * @param rebuild reads the source; null says that the source has nothing
   * @return the value; null where the source has nothing
   * @throws RebuildFailedException where another caller's rebuild failed and its back-off runs; where this call has
   *     joined one of this process, written elsewhere, that threw a checked exception, which is the cause then
   * @throws DibsBusyException where the wait ended first
   * @throws DibsStatusException for bad input; with {@link OnUnavailable#FAIL} where the service cannot be reached;
   *     with {@code CANCELLED} where this thread is interrupted meanwhile, whose flag is set again
   * @throws E what {@code rebuild} threw, as it is
   */
  <V, E extends Exception> V getOrRebuild(String key, Options<V> options, RebuildFunction<V, E> rebuild) throws E;

  /**
   * The same, for a rebuild that needs to know nothing of its lease.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param <E> what {@code source} throws
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and what this call wants
   * @param source null says that it has nothing
   * @return the value; null where the source has nothing
   * @throws E as {@link #getOrRebuild(String, Options, RebuildFunction)}
   */
  default <V, E extends Exception> V getOrRebuild(String key, Options<V> options, Source<V, E> source) throws E {
    return getOrRebuild(key, options, SourceRebuild.of(source));
  }

  /**
   * The same without waiting for it. Completing the future before its time, by {@code cancel} or {@code orTimeout},
   * takes this caller out of the call; the rebuild is interrupted when its last caller has left.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and what this call wants
   * @param rebuild reads the source; null says that the source has nothing
   * @return completes on a thread of the client's executor; fails with what the other form throws
   */
  <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, RebuildFunction<V, ?> rebuild);

  /**
   * The same, for a rebuild that needs to know nothing of its lease.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param key 1 to 1024 bytes of UTF-8
   * @param options how long the value lives, and what this call wants
   * @param source null says that it has nothing
   * @return as {@link #getOrRebuildAsync(String, Options, RebuildFunction)}
   */
  default <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, Source<V, ?> source) {
    return getOrRebuildAsync(key, options, SourceRebuild.of(source));
  }

  /**
   * What is cached, without a rebuild. Waits for a rebuild that runs only where {@code options} names a wait.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param key 1 to 1024 bytes of UTF-8
   * @param options the ttl has no meaning here
   * @return the value, or the knowledge that the source has nothing; empty where nothing is cached, or where the codec
   *     cannot read it
   * @throws DibsStatusException for bad input, and where the service cannot be reached
   */
  <V> Optional<Cached<V>> get(String key, Options<V> options);

  /**
   * The same without waiting for it.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param key 1 to 1024 bytes of UTF-8
   * @param options the ttl has no meaning here
   * @return completes on a thread of the client's executor; fails with what the other form throws
   */
  <V> CompletableFuture<Optional<Cached<V>>> getAsync(String key, Options<V> options);

  /**
   * Stores a value. A rebuild that runs ends first. Write to the source before. A call that begins after this has
   * returned gets nothing older.
   *
   * @param <V> what the codec of {@code options} makes bytes of
   * @param key 1 to 1024 bytes of UTF-8
   * @param value null says that the source has nothing
   * @param options how long the value lives, and how long to wait for a rebuild that runs
   * @return what became of it; see {@link Published#isStored}
   * @throws DibsBusyException where the wait ended first
   * @throws RebuildFailedException where the rebuild failed that it waited for
   * @throws ReentrantRebuildException in a rebuild of the same key
   * @throws DibsStatusException for bad input, before anything is sent; where the service cannot be reached: then the
   *     value may be stored or not
   */
  <V> Published set(String key, V value, Options<V> options);

  /**
   * The same without waiting for it.
   *
   * @param <V> what the codec of {@code options} makes bytes of
   * @param key 1 to 1024 bytes of UTF-8
   * @param value null says that the source has nothing
   * @param options how long the value lives, and how long to wait for a rebuild that runs
   * @return completes on a thread of the client's executor; fails with what the other form throws
   */
  <V> CompletableFuture<Published> setAsync(String key, V value, Options<V> options);

  /**
   * {@link #getOrRebuild} for any number of keys. The rebuild is called once for all keys that are missing, and again
   * for those whose leases come later.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param keys each 1 to 1024 bytes of UTF-8; one that is named twice is one
   * @param options how long the values live, and what this call wants
   * @param rebuild reads the source; a key that it leaves out is one of which the source has nothing
   * @return the value of each key, in the order in which they were given; null where the source has nothing
   * @throws DibsManyException where some keys could not be had, with their errors and the values of the others
   * @throws ReentrantRebuildException in a rebuild of one of the keys
   * @throws DibsStatusException for bad input; with {@code CANCELLED} where this thread is interrupted meanwhile
   */
  <V> Map<String, V> getOrRebuildMany(Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild);

  /**
   * The same, for a rebuild that needs to know nothing of its leases.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param keys each 1 to 1024 bytes of UTF-8; one that is named twice is one
   * @param options how long the values live, and what this call wants
   * @param source a key that it leaves out is one of which it has nothing
   * @return as {@link #getOrRebuildMany(Collection, Options, RebuildManyFunction)}
   */
  default <V> Map<String, V> getOrRebuildMany(Collection<String> keys, Options<V> options, SourceMany<V> source) {
    return getOrRebuildMany(keys, options, SourceManyRebuild.of(source));
  }

  /**
   * The same without waiting for it. Completing the future before its time takes this caller out of the call.
   *
   * @param <V> what the codec of {@code options} makes of the bytes
   * @param keys each 1 to 1024 bytes of UTF-8; one that is named twice is one
   * @param options how long the values live, and what this call wants
   * @param rebuild reads the source; a key that it leaves out is one of which the source has nothing
   * @return completes on a thread of the client's executor; fails with what the other form throws
   */
  <V> CompletableFuture<Map<String, V>> getOrRebuildManyAsync(
      Collection<String> keys, Options<V> options, RebuildManyFunction<V> rebuild);

  /**
   * Drops values, or marks them stale, and voids the rebuilds of them that run. Commit to the source first, then
   * invalidate. Safe to repeat.
   *
   * @param what keys, tags or everything
   * @return how much that was
   * @throws DibsStatusException for bad input, and where the service does not answer within 5 s
   */
  InvalidateResult invalidate(Invalidation what);

  /**
   * The same without waiting for it.
   *
   * @param what keys, tags or everything
   * @return completes on a thread of the client's executor; fails with what the other form throws
   */
  CompletableFuture<InvalidateResult> invalidateAsync(Invalidation what);

  /** Makes no more calls. Those that were made already still end. */
  @Override
  void close();
}
