package dev.dibs;

import java.lang.System.Logger.Level;
import java.util.concurrent.atomic.AtomicBoolean;

/** Whether the service was available at the last call. A change is logged once, not per call. */
final class Availability {
  private static final System.Logger LOG = System.getLogger("dev.dibs");

  /**
   * How many times in a row the service may break off a call before it counts as unavailable: a killed replica breaks
   * off its calls, and the next attempt reaches another replica. If there is none, it fails within milliseconds.
   */
  static final int BROKEN_OFF_MAX = 2;

  private final String target;
  private final Runnable onBack;
  private final AtomicBoolean away = new AtomicBoolean();

  Availability(String target, Runnable onBack) {
    this.target = target;
    this.onBack = onBack;
  }

  void answered() {
    if (!away.get() || !away.compareAndSet(true, false)) return;
    onBack.run();
    LOG.log(Level.WARNING, "Dibs at {0} answers again: rebuilds are coordinated", target);
  }

  void lost(DibsStatusException cause) {
    if (away.get() || !away.compareAndSet(false, true)) return;
    String text =
        "Dibs at {0} cannot be reached ({1}): until it answers, each process rebuilds for itself, or fails if"
            + " onUnavailable says so; check DIBS_TARGET and the service";
    LOG.log(Level.WARNING, text, target, cause.getMessage());
  }
}
