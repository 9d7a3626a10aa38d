import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.DibsClientBuilder;
import dev.dibs.OnUnavailable;
import dev.dibs.Options;
import dev.dibs.spring.DibsCacheManager;
import dev.dibs.testing.MemoryDibs;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;

/** Uses the released artifact as an application would. Arguments: a Unix socket, and which Netty to use. */
final class Consumer {
  record User(long id, Instant since) {}

  public static void main(String[] args) throws InterruptedException {
    User ada = new User(42, Instant.EPOCH);
    String json = new String(Codec.json(User.class).encode(ada), StandardCharsets.UTF_8);
    expect("{\"id\":42,\"since\":\"1970-01-01T00:00:00Z\"}", json);
    Options<User> users = Options.of(User.class, Duration.ofMinutes(1));
    try (MemoryDibs dibs = new MemoryDibs()) {
      expect(ada, dibs.getOrRebuild("user:42", users, () -> ada));
      var cache = DibsCacheManager.builder(dibs).cache("users", users).build().getCache("users");
      expect(ada, cache.get(42, () -> ada));
    }
    // No service is running: this process rebuilds locally.
    try (DibsClient dibs = DibsClient.builder().target("127.0.0.1:1").build()) {
      expect(ada, dibs.getOrRebuild("user:42", users, () -> ada));
    }
    // A service that was started for this, on a Unix socket. Nothing is rebuilt without it.
    DibsClientBuilder service = DibsClient.builder().onUnavailable(OnUnavailable.FAIL);
    for (boolean session : new boolean[] {true, false}) {
      try (DibsClient dibs = service.target(args[0]).session(session).build()) {
        expect(true, dibs.ready(Duration.ofSeconds(20)));
        expect(ada, dibs.getOrRebuild("user:" + session, users, () -> ada));
        expect(ada, dibs.getOrRebuild("user:" + session, users, () -> null));
      }
    }
    expect(args[1], isThere("io.grpc.netty.shaded.io.netty.channel.Channel") ? "shaded" : "unshaded");
    expect(args[1].equals("unshaded"), isThere("io.netty.channel.Channel"));
  }

  private static boolean isThere(String name) {
    try {
      Class.forName(name);
      return true;
    } catch (ClassNotFoundException error) {
      return false;
    }
  }

  private static void expect(Object expected, Object actual) {
    if (!expected.equals(actual)) throw new AssertionError("expected " + expected + ", got " + actual);
  }
}
