package dev.dibs.testing;

import dev.dibs.Options;

/** A key in its namespace. */
record Id(String namespace, String key) {
  static Id of(String key, Options<?> options) {
    return new Id(options.namespace() == null ? "" : options.namespace(), key);
  }
}
