package dev.dibs.spring;

import java.time.temporal.TemporalAccessor;
import java.util.UUID;
import org.springframework.cache.interceptor.SimpleKey;

/** Keys as strings that are the same in all processes. */
final class KeyTexts {
  private KeyTexts() {}

  /** Has no colon without a backslash before it. */
  static String escaped(String text) {
    return text.replace("\\", "\\\\").replace(":", "\\:");
  }

  static String of(Object key) {
    if (key.equals(SimpleKey.EMPTY)) return "";
    boolean isPlain =
        key instanceof CharSequence
            || key instanceof Number
            || key instanceof Boolean
            || key instanceof Character
            || key instanceof UUID
            || key instanceof TemporalAccessor;
    if (isPlain) return key.toString();
    if (key instanceof Enum<?> word) return word.name();
    throw new IllegalArgumentException(
        "key: the text of a %s may differ from process to process, or be that of another key; give @Cacheable a key of"
                .formatted(key.getClass().getName())
            + " text or number, such as key = \"#a + ':' + #b\", a DibsKeyGenerator, or the manager a function keys(...)");
  }
}
