package dev.dibs;

import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;

/** The threads of all clients of this process. None keeps the process alive. */
final class Threads {
  /** Runs rebuilds if the client has no executor of its own. */
  static final Executor REBUILDS = Executors.newCachedThreadPool(named("dibs-rebuild"));

  private static final ScheduledThreadPoolExecutor TIMER = timer();

  private Threads() {}

  /** Runs {@code task}, which must be short, after a time. */
  static Future<?> after(Duration pause, Runnable task) {
    return TIMER.schedule(task, pause.toNanos(), TimeUnit.NANOSECONDS);
  }

  private static ScheduledThreadPoolExecutor timer() {
    ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(1, named("dibs-timer"));
    timer.setRemoveOnCancelPolicy(true);
    return timer;
  }

  private static ThreadFactory named(String name) {
    return task -> {
      Thread thread = new Thread(task, name);
      thread.setDaemon(true);
      return thread;
    };
  }
}
