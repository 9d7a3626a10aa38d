package dev.dibs.spring;

import dev.dibs.Dibs;
import dev.dibs.Options;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.springframework.cache.Cache;
import org.springframework.cache.CacheManager;

/**
 * The caches of a Spring application, backed by Dibs. Each cache has a name, and options for the type and the lifetime
 * of its values. Does not close the {@link Dibs}, which is a bean of its own.
 */
public final class DibsCacheManager implements CacheManager {
  private final Map<String, Cache> caches;

  private DibsCacheManager(Map<String, Cache> caches) {
    this.caches = caches;
  }

  /**
   * Builds a manager, at first without caches.
   *
   * @param dibs the client, or its double in a test
   * @return the builder
   */
  public static Builder builder(Dibs dibs) {
    return new Builder(Objects.requireNonNull(dibs, "dibs"));
  }

  @Override
  public Cache getCache(String name) {
    return caches.get(name);
  }

  @Override
  public Collection<String> getCacheNames() {
    return caches.keySet();
  }

  /** Builds a manager. */
  public static final class Builder {
    private final Dibs dibs;
    private final Map<String, Options<?>> options = new LinkedHashMap<>();
    private Function<Object, String> keys = KeyTexts::of;

    private Builder(Dibs dibs) {
      this.dibs = dibs;
    }

    /**
     * Adds a cache, to be used as {@code @Cacheable("users")}.
     *
     * @param name also begins the keys of its values, with a backslash before each {@code :} and backslash in it
     * @param of for example {@code Options.of(User.class, Duration.ofMinutes(1))}; with at most 15 tags
     * @return this
     * @throws IllegalArgumentException if there is already a cache of this name
     */
    public Builder cache(String name, Options<?> of) {
      if (options.putIfAbsent(name, of) != null) {
        throw new IllegalArgumentException("cache: \"" + name + "\" is configured twice");
      }
      return this;
    }

    /**
     * How keys become strings. By default, strings, numbers, enums, UUIDs and similar types are written as they are;
     * other keys are refused, because their text may differ between processes.
     *
     * @param function must give the same text in all processes, and different texts for different keys
     * @return this
     */
    public Builder keys(Function<Object, String> function) {
      keys = Objects.requireNonNull(function, "keys");
      return this;
    }

    /**
     * Creates the manager.
     *
     * @return a bean
     */
    public DibsCacheManager build() {
      Map<String, Cache> caches = new LinkedHashMap<>();
      options.forEach((name, of) -> caches.put(name, new DibsCache<>(name, dibs, of, keys)));
      return new DibsCacheManager(Collections.unmodifiableMap(caches));
    }
  }
}
