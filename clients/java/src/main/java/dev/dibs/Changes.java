package dev.dibs;

import dev.dibs.v1.Invalidated;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;

/**
 * What this process hears about changes, and its reaction: a request that left before a change, or a rebuild that began
 * before it, may return data older than a caller that comes after the change.
 */
final class Changes {
  private final Flights<Found> flights;
  private final Flights<Found> unreadable;
  private final RunningRebuilds running;
  private final LocalRebuilds local;

  /** Null if there is none. */
  private final NearCache near;

  Changes(Flights<Found> flights, Flights<Found> unreadable, RunningRebuilds running, LocalRebuilds local,
      NearCache near) {
    this.flights = flights;
    this.unreadable = unreadable;
    this.running = running;
    this.local = local;
    this.near = near;
  }

  /** An invalidation of this process has returned, or has failed and may still have been applied. */
  void invalidated(Invalidation what, String namespace) {
    made(namespace, what.keys(), what.tags(), what.all());
  }

  /** This process set a value, or the set failed and may still have been applied. */
  void set(String namespace, String key) {
    made(namespace, List.of(key), List.of(), false);
  }

  private void made(String namespace, List<String> keys, List<String> tags, boolean all) {
    Predicate<FullKey> isChanged = meant(namespace, keys, tags, all);
    if (near != null) near.changed(namespace, keys, tags, all);
    arrived(isChanged);
    local.changed(isChanged);
  }

  /**
   * A value of this process is stored, or may be: copies kept before, and requests sent before, are older. The session's
   * event may come later, or not at all if the session breaks, and a process reads its own writes.
   */
  void published(String namespace, String key) {
    if (near != null) near.changed(namespace, List.of(key), List.of(), false);
    arrived(meant(namespace, List.of(key), List.of(), false));
  }

  /** A session reports a change. */
  void heard(Invalidated what) {
    Predicate<FullKey> isChanged =
        meant(what.getNamespace(), what.getKeysList(), what.getTagsList(), what.getAll());
    if (near != null) near.heard(what);
    arrived(isChanged);
    local.changed(isChanged);
  }

  /** A session begins. It does not report earlier changes. */
  void welcome(Watch watch) {
    if (watch != null) {
      if (near.isWelcomeOverdue(watch)) arrived(key -> true);
      near.welcomed(watch);
    }
    local.serviceIsBack();
  }

  /** The service answers again. Something in between may still break sessions. */
  void serviceIsBack() {
    if (near != null) near.serviceIsBack();
    local.serviceIsBack();
  }

  void beat(Watch watch) {
    if (watch == null) return;
    if (near.isOverdue(watch)) {
      near.missed();
      arrived(key -> true);
    }
    // Last: from here on, what a session reports counts again, and a caller may join what is under way.
    near.heard(watch);
  }

  /** For a session that is being opened; null if it has nothing to watch. */
  Watch watch() {
    return near == null ? null : near.watch();
  }

  List<String> watched() {
    return near == null ? List.of() : near.namespaces();
  }

  private static Predicate<FullKey> meant(String namespace, List<String> keys, List<String> tags, boolean all) {
    // Which values have a tag is unknown until they are published.
    boolean isWhole = all || !tags.isEmpty();
    String named = FullKey.named(namespace);
    Set<String> names = new HashSet<>(keys);
    return key -> key.namespace().equals(named) && (isWhole || names.contains(key.key()));
  }

  /**
   * A session is broken: changes are not heard until the next session begins. Values that this process made without the
   * service are kept until then: no session would have reported changes of those.
   */
  void ended(Watch watch) {
    if (watch != null) near.ended(watch);
    arrived(key -> true);
  }

  private void arrived(Predicate<FullKey> isChanged) {
    flights.changed(isChanged);
    unreadable.changed(isChanged);
    running.changed(isChanged);
  }
}
