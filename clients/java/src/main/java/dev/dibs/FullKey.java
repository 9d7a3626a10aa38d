package dev.dibs;

/**
 * A key with its namespace.
 *
 * @param namespace never empty: the service's own name stands for one that was not given
 */
record FullKey(String namespace, String key) {
  static FullKey of(String namespace, String key) {
    return new FullKey(named(namespace), key);
  }

  /** A call without a namespace and one that names the default are about the same values. */
  static String named(String namespace) {
    return namespace.isEmpty() ? "default" : namespace;
  }
}
