package dev.dibs.spring;

import dev.dibs.Cached;
import dev.dibs.Dibs;
import dev.dibs.DibsException;
import dev.dibs.Invalidation;
import dev.dibs.Options;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.springframework.cache.support.AbstractValueAdaptingCache;
import org.springframework.cache.support.NullValue;
import org.springframework.cache.support.SimpleValueWrapper;

/**
 * A Spring cache whose values are shared by the whole fleet. With {@code sync = true}, one caller in the fleet loads a
 * missing value and all others wait for it. Without {@code sync}, each caller that finds no value loads it and stores
 * it afterwards.
 *
 * @param <V> type of the values
 */
final class DibsCache<V> extends AbstractValueAdaptingCache {
  private final String name;
  private final Dibs dibs;
  private final Options<V> options;
  private final Function<Object, String> keys;

  /** Begins each key: caches of one namespace must not share keys, whatever their names. */
  private final String prefix;

  /** On each value, so that all can be dropped at once. */
  private final String tag;

  DibsCache(String name, Dibs dibs, Options<V> options, Function<Object, String> keys) {
    super(true);
    this.name = name;
    this.dibs = dibs;
    this.keys = keys;
    this.prefix = KeyTexts.escaped(name) + ":";
    this.tag = "cache:" + name;
    this.options = options.tags(Stream.concat(options.tags().stream(), Stream.of(tag)).toArray(String[]::new));
  }

  @Override
  public String getName() {
    return name;
  }

  @Override
  public Dibs getNativeCache() {
    return dibs;
  }

  @Override
  protected Object lookup(Object key) {
    return stored(dibs.get(keyOf(key), options));
  }

  private Object stored(Optional<Cached<V>> found) {
    if (found.isEmpty()) return null;
    return found.get().isAbsent() ? NullValue.INSTANCE : found.get().value();
  }

  @Override
  @SuppressWarnings("unchecked")
  public <T> T get(Object key, Callable<T> valueLoader) {
    try {
      return (T) dibs.getOrRebuild(keyOf(key), options, () -> (V) valueLoader.call());
    } catch (DibsException error) {
      // The loader did not run here, or it threw this exception.
      throw error;
    } catch (Exception error) {
      throw new ValueRetrievalException(key, valueLoader, error);
    }
  }

  @Override
  public CompletableFuture<?> retrieve(Object key) {
    return dibs.getAsync(keyOf(key), options)
        .thenApply(found -> found.map(cached -> new SimpleValueWrapper(cached.value())).orElse(null));
  }

  @Override
  @SuppressWarnings("unchecked")
  public <T> CompletableFuture<T> retrieve(Object key, Supplier<CompletableFuture<T>> valueLoader) {
    return (CompletableFuture<T>)
        dibs.getOrRebuildAsync(keyOf(key), options, () -> (V) joined(valueLoader.get()));
  }

  /** Throws the exception of the loader itself. */
  private static <T> T joined(CompletableFuture<T> loading) throws Exception {
    try {
      return loading.get();
    } catch (InterruptedException error) {
      // No caller is left, or the lease is lost.
      loading.cancel(true);
      throw error;
    } catch (ExecutionException error) {
      if (error.getCause() instanceof Exception cause) throw cause;
      throw error;
    }
  }

  @Override
  @SuppressWarnings("unchecked")
  public void put(Object key, Object value) {
    dibs.set(keyOf(key), (V) value, options);
  }

  @Override
  public void evict(Object key) {
    evictIfPresent(key);
  }

  @Override
  public boolean evictIfPresent(Object key) {
    return dibs.invalidate(within(List.of(keyOf(key)), List.of())).keysInvalidated() > 0;
  }

  @Override
  public void clear() {
    dibs.invalidate(within(List.of(), List.of(tag)));
  }

  private Invalidation within(List<String> all, List<String> tags) {
    String namespace = options.namespace() == null ? "" : options.namespace();
    return new Invalidation(namespace, all, tags, false, false);
  }

  private String keyOf(Object key) {
    return prefix + keys.apply(key);
  }
}
