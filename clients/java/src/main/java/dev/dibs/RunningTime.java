package dev.dibs;

import java.time.Duration;
import java.util.concurrent.Future;

/**
 * A timer that counts only while this process is running: if the process itself was stopped or starved, the other side
 * is not late. It counts in slices, and a slice that took longer counts as one.
 */
final class RunningTime {
  private static final int SLICES = 20;

  private final Duration slice;
  private final Runnable task;
  private int left = SLICES;
  private boolean stopped;
  private Future<?> timer;

  private RunningTime(Duration time, Runnable task) {
    this.slice = time.dividedBy(SLICES);
    this.task = task;
  }

  /** Runs {@code task}, which must be short, after this much running time; the result stops the timer. */
  static Runnable after(Duration time, Runnable task) {
    RunningTime running = new RunningTime(time, task);
    running.next();
    return running::stop;
  }

  private synchronized void next() {
    if (!stopped) timer = Threads.after(slice, this::passed);
  }

  private synchronized void stop() {
    stopped = true;
    timer.cancel(false);
  }

  private void passed() {
    synchronized (this) {
      if (stopped) return;
      left -= 1;
    }
    if (left > 0) next();
    else task.run();
  }
}
