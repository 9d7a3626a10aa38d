import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.Options;
import dev.dibs.spring.DibsCacheManager;
import dev.dibs.testing.MemoryDibs;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;

/** Uses what is released, as an application would. */
final class Consumer {
  record User(long id, Instant since) {}

  public static void main(String[] args) {
    User ada = new User(42, Instant.EPOCH);
    String json = new String(Codec.json(User.class).encode(ada), StandardCharsets.UTF_8);
    expect("{\"id\":42,\"since\":\"1970-01-01T00:00:00Z\"}", json);
    Options<User> users = Options.of(User.class, Duration.ofMinutes(1));
    try (MemoryDibs dibs = new MemoryDibs()) {
      expect(ada, dibs.getOrRebuild("user:42", users, () -> ada));
      var cache = DibsCacheManager.builder(dibs).cache("users", users).build().getCache("users");
      expect(ada, cache.get(42, () -> ada));
    }
    // No service is there: this process rebuilds for itself.
    try (DibsClient dibs = DibsClient.builder().target("127.0.0.1:1").build()) {
      expect(ada, dibs.getOrRebuild("user:42", users, () -> ada));
    }
  }

  private static void expect(Object expected, Object actual) {
    if (!expected.equals(actual)) throw new AssertionError("expected " + expected + ", got " + actual);
  }
}
