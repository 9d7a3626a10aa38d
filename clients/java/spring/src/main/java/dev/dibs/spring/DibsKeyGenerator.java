package dev.dibs.spring;

import java.lang.reflect.Method;
import org.springframework.cache.interceptor.KeyGenerator;

/**
 * Combines several parameters into one key: {@code find("a:b", 7)} has the key {@code a\:b:7}. Different parameters
 * give different keys. A method with one parameter has the same key as without this generator. Select it with
 * {@code @Cacheable(keyGenerator = ...)}, or for all methods with a {@code CachingConfigurer}.
 */
public final class DibsKeyGenerator implements KeyGenerator {
  /** For strings, numbers, enums, UUIDs, times and null. */
  public DibsKeyGenerator() {}

  @Override
  public Object generate(Object target, Method method, Object... parameters) {
    if (parameters.length == 1 && parameters[0] != null) return KeyTexts.of(parameters[0]);
    StringBuilder key = new StringBuilder();
    for (int at = 0; at < parameters.length; at += 1) {
      if (at > 0) key.append(':');
      // No escaped text has a backslash before a 0.
      String text = parameters[at] == null ? "\\0" : escaped(KeyTexts.of(parameters[at]));
      key.append(text);
    }
    return key.toString();
  }

  private static String escaped(String text) {
    return text.replace("\\", "\\\\").replace(":", "\\:");
  }
}
