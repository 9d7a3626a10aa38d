package dev.dibs;

import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicBoolean;

/** Whether the service was there when it was last asked. A change is logged once, and not for each call. */
final class Availability {
  private static final System.Logger LOG = System.getLogger("dev.dibs");

  /**
   * How often in a row the service may break off before it counts as out of reach: a replica that was killed ends its
   * calls so, and the next attempt reaches another, which may stand in the middle of a restart as well. Where there is
   * none, each attempt fails within milliseconds.
   */
  static final int BROKEN_OFF_MAX = 4;

  private static final int PAUSE_MS = 30;

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
        "Dibs at {0} cannot be reached ({1}): until it answers, each process rebuilds for itself, or fails where told"
            + " to; check DIBS_TARGET and the service";
    LOG.log(Level.WARNING, text, target, cause.getMessage());
  }

  /** How long to wait before the next attempt after so many that broke off; null where there should be none. */
  Duration pauseAfter(int brokenOff) {
    if (brokenOff == 1) return Duration.ZERO;
    if (brokenOff >= BROKEN_OFF_MAX || away.get()) return null;
    double jitter = ThreadLocalRandom.current().nextDouble(0.5, 1.5);
    return Duration.ofMillis(Math.round((PAUSE_MS << (brokenOff - 2)) * jitter));
  }
}
