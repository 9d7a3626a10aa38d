package dev.dibs;

import java.util.HashSet;
import java.util.Set;
import java.util.function.Predicate;

/**
 * What this process hears of changes, and what it does then: a request that left before a change, or a rebuild that
 * began before it, may be older than a caller that comes after it.
 */
final class Changes {
  private final Flights<Found> flights;
  private final Flights<Found> unreadable;
  private final RunningRebuilds running;
  private final LocalRebuilds local;

  Changes(Flights<Found> flights, Flights<Found> unreadable, RunningRebuilds running, LocalRebuilds local) {
    this.flights = flights;
    this.unreadable = unreadable;
    this.running = running;
    this.local = local;
  }

  /** An invalidation of this process's own has returned, or has failed and may have been done all the same. */
  void invalidated(Invalidation what, String namespace) {
    // Which values have a tag is not known before they are published.
    boolean isWhole = what.all() || !what.tags().isEmpty();
    String named = FullKey.named(namespace);
    Set<String> keys = new HashSet<>(what.keys());
    Predicate<FullKey> isChanged =
        key -> key.namespace().equals(named) && (isWhole || keys.contains(key.key()));
    arrived(isChanged);
    local.changed(isChanged);
  }

  /**
   * The session is broken, or another one begins: nothing was heard meanwhile. What this process has made without the
   * service stays: no session would have told of that.
   */
  void everything() {
    arrived(key -> true);
  }

  private void arrived(Predicate<FullKey> isChanged) {
    flights.changed(isChanged);
    unreadable.changed(isChanged);
    running.changed(isChanged);
  }
}
