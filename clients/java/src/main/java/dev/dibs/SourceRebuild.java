package dev.dibs;

/** A source as a rebuild. */
record SourceRebuild<V, E extends Exception>(Source<V, E> source) implements RebuildFunction<V, E> {
  /** Null stays null, which the argument check of the call refuses. */
  static <V, E extends Exception> RebuildFunction<V, E> of(Source<V, E> source) {
    return source == null ? null : new SourceRebuild<>(source);
  }

  @Override
  public V rebuild(Rebuild<V> rebuild) throws E {
    return source.read();
  }

  /** The class of the user's code: one per place in the code. */
  static Class<?> writtenAs(RebuildFunction<?, ?> rebuild) {
    return rebuild instanceof SourceRebuild<?, ?> wrapper ? wrapper.source().getClass() : rebuild.getClass();
  }
}
