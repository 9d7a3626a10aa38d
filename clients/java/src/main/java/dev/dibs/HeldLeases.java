package dev.dibs;

import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/** The leases that this process holds, so that a rebuild hears at once that its lease is lost. */
final class HeldLeases {
  /** How many losses are remembered whose lease is not known here. */
  static final int LOST_MAX = 1_000;

  private final Map<String, Runnable> onLost = new HashMap<>();

  /** Oldest first. A loss may come before its lease. */
  private final Set<String> lostBefore = new LinkedHashSet<>();

  /**
   * {@code lost} runs once if the service reports the loss, at once if it has done so already; the result ends the
   * watch.
   */
  Runnable watch(String token, Runnable lost) {
    boolean isLost;
    synchronized (this) {
      isLost = lostBefore.remove(token);
      if (!isLost) onLost.put(token, lost);
    }
    if (isLost) lost.run();
    return () -> forget(token, lost);
  }

  void lost(String token) {
    Runnable lost;
    synchronized (this) {
      lost = onLost.remove(token);
      if (lost == null) remember(token);
    }
    if (lost != null) lost.run();
  }

  private void remember(String token) {
    lostBefore.add(token);
    if (lostBefore.size() <= LOST_MAX) return;
    Iterator<String> oldest = lostBefore.iterator();
    oldest.next();
    oldest.remove();
  }

  private synchronized void forget(String token, Runnable lost) {
    onLost.remove(token, lost);
  }
}
