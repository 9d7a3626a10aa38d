package dev.dibs;

import java.util.concurrent.TimeUnit;

/** What one session that watches namespaces is good for: it tells what changes for as long as it is live. */
final class Watch {
  /** After so long without a beat the replica may not hear of changes any more. A beat comes every second. */
  private static final long LIVE_NANOS = TimeUnit.SECONDS.toNanos(3);

  private volatile boolean welcomed;
  private volatile long heardNanos;

  /** The welcome or a beat has come. */
  void heard(long nowNanos) {
    heardNanos = nowNanos;
    welcomed = true;
  }

  /** The session has ended, or is being left. Returns whether it has told anything: one that was welcomed has. */
  boolean end() {
    boolean hasTold = welcomed;
    welcomed = false;
    return hasTold;
  }

  boolean isLive(long nowNanos) {
    return welcomed && nowNanos - heardNanos < LIVE_NANOS;
  }
}
