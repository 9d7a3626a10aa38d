package dev.dibs.testing;

import dev.dibs.Options;

/** A key in its namespace. */
record Id(String namespace, String key) {
  /** A call without a namespace and one that names the default are about the same values. */
  Id {
    namespace = namespace.isEmpty() ? "default" : namespace;
  }

  static Id of(String key, Options<?> options) {
    return new Id(options.namespace() == null ? "" : options.namespace(), key);
  }
}
