package dev.dibs.examples;

import dev.dibs.DibsClient;
import dev.dibs.Options;
import java.time.Duration;

final class Start {
  public static void main(String[] args) throws Exception {
    record User(long id, String name) {}
    Options<User> users = Options.of(User.class, Duration.ofMinutes(1)).staleTtl(Duration.ofMinutes(10));
    try (DibsClient dibs = DibsClient.builder().build()) { // DIBS_TARGET, else 127.0.0.1:50051
      User user = dibs.getOrRebuild("user:42", users, () -> new User(42, "Ada")); // your database
      System.out.println(user.name());
    }
  }
}
