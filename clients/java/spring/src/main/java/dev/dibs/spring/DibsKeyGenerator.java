package dev.dibs.spring;

import java.lang.reflect.Method;
import org.springframework.cache.interceptor.KeyGenerator;

/**
 * Combines several parameters into one key: {@code find("a:b", 7)} has the key {@code a\:b:7}. Different parameters
 * give different keys. A method with one parameter has the same key as without this generator, with one more backslash
 * if it begins with one. Select it with {@code @Cacheable(keyGenerator = ...)}, or for all methods with a
 * {@code CachingConfigurer}.
 */
public final class DibsKeyGenerator implements KeyGenerator {
  /** For strings, numbers, enums, UUIDs, times and null. */
  public DibsKeyGenerator() {}

  @Override
  public Object generate(Object target, Method method, Object... parameters) {
    if (parameters.length == 1 && parameters[0] != null) {
      String text = KeyTexts.of(parameters[0]);
      return text.startsWith("\\") ? "\\" + text : text;
    }
    StringBuilder key = new StringBuilder();
    for (int at = 0; at < parameters.length; at += 1) {
      if (at > 0) key.append(':');
      // No escaped text has a backslash before a 0.
      String text = parameters[at] == null ? "\\0" : KeyTexts.escaped(KeyTexts.of(parameters[at]));
      key.append(text);
    }
    return key.toString();
  }
}
