package dev.dibs.examples;

import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.Options;
import dev.dibs.Source;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;

/** A value past its ttl is returned at once while one caller rebuilds it in the background. */
final class StaleWhileRevalidate {
  public static void main(String[] args) throws Exception {
    AtomicInteger version = new AtomicInteger();
    Source<String, InterruptedException> render =
        () -> {
          int current = version.incrementAndGet();
          Thread.sleep(2_000);
          return "page " + current;
        };
    Options<String> pages = Options.of(Codec.UTF_8, Duration.ofMillis(100)).staleTtl(Duration.ofMinutes(1));
    try (DibsClient dibs = DibsClient.builder().build()) {
      String first = dibs.getOrRebuild("example:page", pages, render);
      Thread.sleep(150);
      long startedAtNanos = System.nanoTime();
      String stale = dibs.getOrRebuild("example:page", pages, render);
      boolean atOnce = System.nanoTime() - startedAtNanos < Duration.ofSeconds(2).toNanos();
      dibs.flush(Duration.ofSeconds(10)); // until the rebuild has ended
      String next = dibs.getOrRebuild("example:page", pages, render);
      System.out.printf("%s, then %s %s, then %s%n", first, stale, atOnce ? "at once" : "after a wait", next);
    }
  }
}
