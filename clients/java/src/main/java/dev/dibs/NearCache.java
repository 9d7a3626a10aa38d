package dev.dibs;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.google.protobuf.ByteString;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Invalidated;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * Fresh values in this process's memory, while sessions report changes. An answer is kept only if no change has arrived
 * since its request left, and is returned only while the session that delivered it is live. When any session ends, or a
 * beat comes late, everything is dropped. The map only limits the bytes: freshness is checked here, at each read and by
 * the monotonic clock. It counts from when the request left, because the answer may have waited for this process to
 * read it.
 */
final class NearCache {
  /** A request whose answer may be kept. */
  static final class Asking {
    private final FullKey key;
    private final Watch watch;
    private final long sentNanos;
    private final long session;
    private final long change;
    private boolean overtaken;

    private Asking(FullKey key, Watch watch, long sentNanos, long session, long change) {
      this.key = key;
      this.watch = watch;
      this.sentNanos = sentNanos;
      this.session = session;
      this.change = change;
    }
  }

  /**
   * An entry.
   *
   * @param bytes null if the source has no value
   * @param tags null if the replica does not send them
   * @param watch that of the session that reports its changes
   * @param session how often everything had been dropped when the request left
   * @param change the last one that had arrived when the request left
   */
  private record Entry(
      ByteString bytes, List<String> tags, long untilNanos, Watch watch, long session, long change) {}

  private static final int NAMESPACES_MAX = 64;

  /** The size of an entry, without its key and its value. */
  private static final int ENTRY_BYTES = 200;

  private final List<String> namespaces;
  private final Map<String, WatchedNamespace> watched = new HashMap<>();
  private final Cache<FullKey, Entry> entries;

  /** What was dropped because changes may have been missed, until the service is back; null if not wanted. */
  private final Cache<FullKey, Entry> left;

  private final LongSupplier nanoTime;
  private final Set<Asking> asking = new HashSet<>();

  /** Counts how often everything was dropped. Entries from before the last time are void. */
  private volatile long session;

  /** Counts the changes. */
  private long changes;

  /** Of all sessions. Replaced as a whole. */
  private volatile List<Watch> watches = List.of();

  NearCache(long bytesMax, List<String> namespaces, boolean keepsWhatIsLeft, LongSupplier nanoTime) {
    if (bytesMax < 1) throw new IllegalArgumentException("nearCache: %d bytes are below 1".formatted(bytesMax));
    this.namespaces = List.copyOf(new LinkedHashSet<>(namespaces.stream().map(FullKey::named).toList()));
    if (this.namespaces.size() > NAMESPACES_MAX) {
      throw new IllegalArgumentException(
          "nearCache: %d namespaces are more than %d".formatted(this.namespaces.size(), NAMESPACES_MAX));
    }
    this.namespaces.forEach(namespace -> watched.put(namespace, new WatchedNamespace()));
    this.nanoTime = nanoTime;
    this.entries = bounded(bytesMax);
    this.left = keepsWhatIsLeft ? bounded(bytesMax) : null;
  }

  private static Cache<FullKey, Entry> bounded(long bytesMax) {
    return Caffeine.newBuilder()
        .maximumWeight(bytesMax)
        .weigher(NearCache::weight)
        // Without threads of its own: a value that was put can be read by the next call.
        .executor(Runnable::run)
        .build();
  }

  List<String> namespaces() {
    return namespaces;
  }

  /** The fresh value of a key; null if none is known. */
  Found get(FullKey key) {
    Entry entry = entries.getIfPresent(key);
    if (entry == null) return null;
    // Read once for both: reading the clock is half of the cost of a hit.
    long now = nanoTime.getAsLong();
    // In this order: a late beat drops everything, and only then makes its session live again.
    if (!entry.watch().isLive(now) || entry.session() != session) return null;
    return counts(key, entry, now) ? new Found(entry.bytes(), false) : null;
  }

  /**
   * What was fresh when the service was last heard from, for as long as it would have been fresh; returned only as
   * stale.
   */
  Found left(FullKey key) {
    Entry entry = left == null ? null : left.getIfPresent(key);
    return entry != null && counts(key, entry, nanoTime.getAsLong())
        ? new Found(entry.bytes(), false, Freshness.STALE)
        : null;
  }

  private boolean counts(FullKey key, Entry entry, long now) {
    if (entry.untilNanos() - now <= 0) return false;
    return !watched.get(key.namespace()).hasChanged(entry.tags(), entry.change());
  }

  /** Whether every session is reporting changes at the moment. */
  boolean isLive() {
    List<Watch> all = watches;
    long now = nanoTime.getAsLong();
    for (Watch watch : all) if (!watch.isLive(now)) return false;
    return !all.isEmpty();
  }

  boolean isWatched(FullKey key) {
    return watched.containsKey(key.namespace());
  }

  /** A request leaves over a session; null if its answer is not kept. */
  synchronized Asking sending(FullKey key, Watch watch) {
    // The session may be left at this moment: then nothing will report changes of this answer after its end.
    if (!isWatched(key) || !watches.contains(watch)) return null;
    Asking one = new Asking(key, watch, nanoTime.getAsLong(), session, changes);
    asking.add(one);
    return one;
  }

  /**
   * A request is over. {@code one} is null if no session reports changes of its answer, and {@code response} if there
   * was none.
   */
  synchronized void answered(FullKey key, Asking one, GetOrLockResponse response) {
    if (response != null && left != null) dropOlder(key, one);
    if (one != null) answered(one, response != null && response.hasHit() ? response.getHit() : null);
  }

  /** A copy that this session does not keep up to date would be served at the next absence of the service. */
  private void dropOlder(FullKey key, Asking one) {
    left.invalidate(key);
    Entry entry = entries.getIfPresent(key);
    if (entry != null && (one == null || entry.watch() != one.watch)) entries.invalidate(key);
  }

  /** The request is over; {@code hit} is null if the answer was no hit. */
  synchronized void answered(Asking one, Hit hit) {
    if (!asking.remove(one) || hit == null || one.overtaken || one.session != session) return;
    if (hit.getFreshForMs() <= 0) return;
    // The service counts from its answer, which was made after the request had left.
    long untilNanos = one.sentNanos + TimeUnit.MILLISECONDS.toNanos(hit.getFreshForMs());
    if (untilNanos - nanoTime.getAsLong() <= 0) {
      entries.invalidate(one.key);
      return;
    }
    ByteString bytes = hit.hasValue() ? hit.getValue() : null;
    List<String> tags = hit.hasTags() ? List.copyOf(hit.getTags().getNamesList()) : null;
    entries.put(one.key, new Entry(bytes, tags, untilNanos, one.watch, session, one.change));
  }

  /** The service reports a change. */
  void heard(Invalidated what) {
    changed(what.getNamespace(), what.getKeysList(), what.getTagsList(), what.getAll());
  }

  /** A change has arrived, by an event or by an answer. */
  synchronized void changed(String namespace, List<String> keys, List<String> tags, boolean all) {
    WatchedNamespace changed = watched.get(FullKey.named(namespace));
    if (changed == null) return;
    changes += 1;
    if (all) changed.whole(changes);
    tags.forEach(tag -> changed.tag(tag, changes));
    for (String key : keys) {
      FullKey one = FullKey.of(namespace, key);
      entries.invalidate(one);
      if (left != null) left.invalidate(one);
      for (Asking open : asking) if (open.key.equals(one)) open.overtaken = true;
    }
  }

  /** For a session that is being opened: its requests may leave before its welcome has arrived. */
  synchronized Watch watch() {
    Watch watch = new Watch(nanoTime.getAsLong());
    List<Watch> all = new ArrayList<>(watches);
    all.add(watch);
    watches = List.copyOf(all);
    return watch;
  }

  /** The welcome of a session has arrived: the service is available, and the session receives changes. */
  synchronized void welcomed(Watch watch) {
    serviceIsBack();
    // Their answers may be older than changes that wait to be read.
    if (isWelcomeOverdue(watch)) asking.removeIf(one -> one.watch == watch);
    heard(watch);
  }

  /** The service answers, possibly without a session. What was kept for its absence is dropped. */
  synchronized void serviceIsBack() {
    if (left == null) return;
    left.invalidateAll();
    long now = nanoTime.getAsLong();
    // A silent session may have missed a change. At its end, its entries would be kept for the next absence.
    entries.asMap().values().removeIf(entry -> !entry.watch().isLive(now));
  }

  /** Whether the welcome of a session was due long ago. */
  boolean isWelcomeOverdue(Watch watch) {
    return watch.isWelcomeOverdue(nanoTime.getAsLong());
  }

  /** The welcome of a session has arrived, or a beat: it receives changes. */
  synchronized void heard(Watch watch) {
    watch.heard(nanoTime.getAsLong());
  }

  /** Whether a beat of a session was due long ago. */
  boolean isOverdue(Watch watch) {
    return watch.isOverdue(nanoTime.getAsLong());
  }

  /** Changes may have been missed: entries are void, and so are the answers to requests under way. */
  synchronized void missed() {
    if (left != null) keepWhatIsLeft();
    session += 1;
    asking.clear();
    entries.invalidateAll();
  }

  /** A session has ended or is being left: its events no longer arrive. */
  synchronized void ended(Watch watch) {
    watches = watches.stream().filter(other -> other != watch).toList();
    // Retries of an address whose session cannot be opened must not drop the entries of others.
    if (watch.end()) missed();
    // Its requests leave again. If that is without a session, their answers are not kept.
    else asking.removeIf(one -> one.watch == watch);
  }

  private void keepWhatIsLeft() {
    long now = nanoTime.getAsLong();
    entries.asMap().forEach((key, entry) -> {
      if (entry.session() == session && counts(key, entry, now)) left.put(key, entry);
    });
  }

  private static int weight(FullKey key, Entry entry) {
    long bytes = ENTRY_BYTES + 2L * key.key().length() + (entry.bytes() == null ? 0 : entry.bytes().size());
    return (int) Math.min(Integer.MAX_VALUE, bytes);
  }
}
