package dev.dibs;

import java.util.List;
import java.util.Map;

/** A source of several keys as a rebuild. */
record SourceManyRebuild<V>(SourceMany<V> source) implements RebuildManyFunction<V> {
  /** Null stays null, which is refused where the call is checked. */
  static <V> RebuildManyFunction<V> of(SourceMany<V> source) {
    return source == null ? null : new SourceManyRebuild<>(source);
  }

  @Override
  public Map<String, ? extends V> rebuild(List<String> keys, RebuildMany<V> rebuild) throws Exception {
    return source.read(keys);
  }

  /** The class of what the user has written: one for each place in the code. */
  static Class<?> writtenAs(RebuildManyFunction<?> rebuild) {
    return rebuild instanceof SourceManyRebuild<?> wrapper ? wrapper.source().getClass() : rebuild.getClass();
  }
}
