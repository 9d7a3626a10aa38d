package dev.dibs;

import java.util.List;
import java.util.Map;

/** A source of several keys as a rebuild. */
record SourceManyRebuild<V>(SourceMany<V> source) implements RebuildManyFunction<V> {
  /** Null stays null, which the argument check of the call refuses. */
  static <V> RebuildManyFunction<V> of(SourceMany<V> source) {
    return source == null ? null : new SourceManyRebuild<>(source);
  }

  @Override
  public Map<String, ? extends V> rebuild(List<String> keys, RebuildMany<V> rebuild) throws Exception {
    return source.read(keys);
  }

  /** The class of the user's code: one per place in the code. */
  static Class<?> writtenAs(RebuildManyFunction<?> rebuild) {
    return rebuild instanceof SourceManyRebuild<?> wrapper ? wrapper.source().getClass() : rebuild.getClass();
  }
}
