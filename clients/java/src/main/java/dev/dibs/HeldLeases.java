package dev.dibs;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The leases that this process holds, so that a rebuild hears at once that its lease is lost. */
final class HeldLeases {
  private final Map<String, Runnable> onLost = new ConcurrentHashMap<>();

  /** {@code lost} runs once if the service reports the loss; the result ends the watch. */
  Runnable watch(String token, Runnable lost) {
    onLost.put(token, lost);
    return () -> onLost.remove(token, lost);
  }

  void lost(String token) {
    Runnable lost = onLost.remove(token);
    if (lost != null) lost.run();
  }
}
