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
 * The caches of an application of Spring, in Dibs. Each cache has a name, and options that say what its values are and
 * how long they live. It does not close the {@link Dibs}, which is a bean of its own.
 */
public final class DibsCacheManager implements CacheManager {
  private final Map<String, Cache> caches;

  private DibsCacheManager(Map<String, Cache> caches) {
    this.caches = caches;
  }

  /**
   * A manager without caches yet.
   *
   * @param dibs the client, or its double in a test
   * @return takes the caches
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

  /** Takes the caches of a manager. */
  public static final class Builder {
    private final Dibs dibs;
    private final Map<String, Options<?>> options = new LinkedHashMap<>();
    private Function<Object, String> keys = KeyTexts::of;

    private Builder(Dibs dibs) {
      this.dibs = dibs;
    }

    /**
     * A cache, as {@code @Cacheable("users")} names it.
     *
     * @param name also begins the keys of its values
     * @param of such as {@code Options.of(User.class, Duration.ofMinutes(1))}; it has room for one more tag
     * @return this
     * @throws IllegalArgumentException where there is one of this name already
     */
    public Builder cache(String name, Options<?> of) {
      if (options.putIfAbsent(name, of) != null) {
        throw new IllegalArgumentException("cache: \"" + name + "\" is there twice");
      }
      return this;
    }

    /**
     * How keys become texts. Default: texts, numbers, enums, UUIDs and the like are written as they are; other keys are
     * refused, for their text may differ from process to process.
     *
     * @param function must give the same text in all processes, and different texts for different keys
     * @return this
     */
    public Builder keys(Function<Object, String> function) {
      keys = Objects.requireNonNull(function, "keys");
      return this;
    }

    /**
     * The manager.
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
