package dev.dibs;

import dev.dibs.v1.Hit;
import java.time.Duration;
import java.util.List;

/** A run as seen by the user's rebuild. */
final class RunOf<V> implements Rebuild<V> {
  private final Run run;
  private final boolean hasPrevious;
  private final V previous;

  RunOf(Run run, Codec<V> codec) {
    this.run = run;
    Hit known = run.previous();
    V value = null;
    boolean isReadable = known != null;
    if (isReadable && known.hasValue()) {
      try {
        value = codec.decode(known.getValue().toByteArray());
      } catch (RuntimeException error) {
        // Published in another format: it counts as missing, because the rebuild replaces it.
        isReadable = false;
      }
    }
    previous = value;
    hasPrevious = isReadable;
  }

  @Override
  public RebuildReason reason() {
    return run.reason();
  }

  @Override
  public long fence() {
    return run.fence();
  }

  @Override
  public boolean hasPrevious() {
    return hasPrevious;
  }

  @Override
  public V previous() {
    return previous;
  }

  @Override
  public boolean isLost() {
    return run.isLost();
  }

  @Override
  public void ttl(Duration duration) {
    run.terms().ttl(duration);
  }

  @Override
  public void staleTtl(Duration duration) {
    run.terms().staleTtl(duration);
  }

  @Override
  public void tags(String... names) {
    run.terms().tags(List.of(names));
  }

  @Override
  public void doNotStore() {
    run.terms().doNotStore();
  }
}
