package dev.dibs;

import java.util.Map;

/** The runs of several keys, as seen by the user's rebuild. */
record RebuildsOf<V>(Map<String, Rebuild<V>> byKey) implements RebuildMany<V> {
  @Override
  public Rebuild<V> of(String key) {
    Rebuild<V> rebuild = byKey.get(key);
    if (rebuild == null) throw new IllegalArgumentException("\"" + key + "\" is not one of the keys of this rebuild");
    return rebuild;
  }
}
