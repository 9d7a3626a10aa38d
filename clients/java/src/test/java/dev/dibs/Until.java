package dev.dibs;

import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** Waits for what comes by itself, and far longer than it takes. */
public final class Until {
  private static final long MAX_NANOS = TimeUnit.SECONDS.toNanos(10);

  private Until() {}

  public static void isTrue(Callable<Boolean> condition) throws Exception {
    long startNanos = System.nanoTime();
    while (!condition.call()) {
      if (System.nanoTime() - startNanos > MAX_NANOS) throw new AssertionError("it did not come");
      Thread.sleep(2);
    }
  }
}
