package dev.dibs.examples;

import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.Options;
import java.time.Duration;

final class Start {
  public static void main(String[] args) throws Exception {
    Options<String> names = Options.of(Codec.UTF_8, Duration.ofMinutes(1)).staleTtl(Duration.ofMinutes(10));
    try (DibsClient dibs = DibsClient.builder().build()) { // DIBS_TARGET, else 127.0.0.1:50051
      String name = dibs.getOrRebuild("user:42", names, () -> "Ada"); // your database
      System.out.println(name);
    }
  }
}
