package dev.dibs;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** A call for several keys failed for some of them. The cause is the error of the first one. */
public final class DibsManyException extends DibsException {
  private static final long serialVersionUID = 1L;

  /** By key. */
  private final transient Map<String, Throwable> errors;

  /** By key. */
  private final transient Map<String, Object> values;

  /**
   * For the client, and for test doubles of it.
   *
   * @param errors at least one
   * @param values of all other keys
   */
  public DibsManyException(Map<String, ? extends Throwable> errors, Map<String, ?> values) {
    super(messageOf(errors, values.size()), null, errors.values().iterator().next());
    this.errors = Collections.unmodifiableMap(new LinkedHashMap<>(errors));
    this.values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
  }

  private static String messageOf(Map<String, ? extends Throwable> errors, int values) {
    Map.Entry<String, ? extends Throwable> first = errors.entrySet().iterator().next();
    return "%d of %d keys failed; \"%s\": %s"
        .formatted(errors.size(), errors.size() + values, first.getKey(), FailureMessage.of(first.getValue()));
  }

  /**
   * The error of each failed key: what a call for this key alone would have thrown.
   *
   * @return by key, in the order of the call
   */
  public Map<String, Throwable> errors() {
    return errors;
  }

  /**
   * The values of the other keys.
   *
   * @return by key, in the order of the call; null if the source has no value
   */
  public Map<String, Object> values() {
    return values;
  }
}
