package dev.dibs.examples;

import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.Invalidation;
import dev.dibs.Options;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Commit to the source first, then invalidate: a rebuild that began before cannot restore the old value. */
final class InvalidateOnWrite {
  public static void main(String[] args) throws Exception {
    Map<String, String> database = new ConcurrentHashMap<>(Map.of("price", "10"));
    Options<String> prices = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
    try (DibsClient dibs = DibsClient.builder().build()) {
      String before = dibs.getOrRebuild("example:price", prices, () -> database.get("price"));
      database.put("price", "12");
      dibs.invalidate(Invalidation.ofKeys("example:price"));
      String after = dibs.getOrRebuild("example:price", prices, () -> database.get("price"));
      System.out.printf("%s, then %s%n", before, after);
    }
  }
}
