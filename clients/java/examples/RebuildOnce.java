package dev.dibs.examples;

import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.Options;
import dev.dibs.Source;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;

/** Two callers miss the same key at the same time: one rebuilds, both get the value. */
final class RebuildOnce {
  public static void main(String[] args) throws Exception {
    AtomicInteger queries = new AtomicInteger();
    Source<String, RuntimeException> fromDatabase =
        () -> {
          queries.incrementAndGet();
          return "Ada";
        };
    Options<String> names = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
    // Two clients stand for two processes: within one client, equal calls are joined before the service is asked.
    try (DibsClient dibs = DibsClient.builder().build();
        DibsClient other = DibsClient.builder().build()) {
      var one = dibs.getOrRebuildAsync("example:user:42", names, fromDatabase);
      var two = other.getOrRebuildAsync("example:user:42", names, fromDatabase);
      System.out.printf("%s and %s after %d query%n", one.join(), two.join(), queries.get());
    }
  }
}
