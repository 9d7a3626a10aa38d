package dev.dibs;

import java.util.concurrent.TimeUnit;

/** The state of one session that watches namespaces: it reports changes as long as it is live. */
final class Watch {
  /** After this time without a beat, the replica may no longer receive changes. A beat comes every second. */
  private static final long LIVE_NANOS = TimeUnit.SECONDS.toNanos(3);

  /** When the session was begun. */
  private final long sinceNanos;

  private volatile boolean welcomed;
  private volatile long heardNanos;

  Watch(long nowNanos) {
    sinceNanos = nowNanos;
  }

  /**
   * Whether the session was begun long ago. If its welcome arrives now, this process was held up, and changes that were
   * sent after it may be read later.
   */
  boolean isWelcomeOverdue(long nowNanos) {
    return nowNanos - sinceNanos >= LIVE_NANOS;
  }

  /**
   * Whether a beat was due long ago. If one arrives now, this process was held up, and changes that were sent before it
   * may be read after it.
   */
  boolean isOverdue(long nowNanos) {
    return welcomed && !isLive(nowNanos);
  }

  /** The welcome or a beat has arrived. */
  void heard(long nowNanos) {
    heardNanos = nowNanos;
    welcomed = true;
  }

  /** The session has ended or is being left. Returns whether it has reported anything: a welcomed one has. */
  boolean end() {
    boolean hasTold = welcomed;
    welcomed = false;
    return hasTold;
  }

  boolean isLive(long nowNanos) {
    return welcomed && nowNanos - heardNanos < LIVE_NANOS;
  }
}
