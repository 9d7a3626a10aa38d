package dev.dibs;

import java.time.Duration;
import java.util.concurrent.Callable;

/** Waits for what comes by itself, and far longer than it takes. */
public final class Until {
  /** On a busy machine, any thread and the service may stand for seconds. A test that fails waits so long. */
  static final Duration PATIENCE = Duration.ofSeconds(30);

  private Until() {}

  public static void isTrue(Callable<Boolean> condition) throws Exception {
    long startNanos = System.nanoTime();
    while (!condition.call()) {
      if (System.nanoTime() - startNanos > PATIENCE.toNanos()) throw new AssertionError("it did not come");
      Thread.sleep(2);
    }
  }
}
