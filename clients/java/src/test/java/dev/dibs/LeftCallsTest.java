package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.ReleaseRequest;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionReply;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** A lease and its caller's leaving can meet on the way. */
final class LeftCallsTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  @Test
  void leasesThatComeForThemAreGivenBack() throws Exception {
    try (FakeSessions fake = new FakeSessions();
        DibsClient client = fake.client().build()) {
      CompletableFuture<String> gone = client.getOrRebuildAsync("k", TEXT, () -> "mine");
      var both = client.getOrRebuildManyAsync(List.of("a", "b"), TEXT, (keys, leases) -> Map.of());
      FakeSessions.Stream stream = fake.stream();
      stream.welcome("resume");
      SessionCall one = stream.call();
      SessionCall many = stream.call();
      gone.cancel(true);
      both.cancel(true);
      var lease = GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf("t", 10_000));
      Set<Long> cancelled = new HashSet<>();
      while (cancelled.size() < 2) cancelled.addAll(stream.next().getCancelledIdsList());
      stream.reply(SessionReply.newBuilder().setId(one.getId()).setGetOrLock(lease));
      assertEquals("k t", textOf(stream.call().getRelease()));
      for (String key : List.of("a", "b")) {
        var its = GetOrLockManyResponse.newBuilder().setKey(key).setResponse(lease);
        stream.reply(SessionReply.newBuilder().setId(many.getId()).setMore(key.equals("a")).setGetOrLockMany(its));
        assertEquals(key + " t", textOf(stream.call().getRelease()));
      }
      // Only once.
      stream.reply(SessionReply.newBuilder().setId(one.getId()).setGetOrLock(lease));
      CompletableFuture<String> next = client.getOrRebuildAsync("next", TEXT, () -> "mine");
      SessionCall call = stream.call();
      assertEquals("next", call.getGetOrLock().getKey());
      stream.hit(call, "v");
      assertEquals("v", next.get());
    }
  }

  private static String textOf(ReleaseRequest release) {
    return release.getKey() + " " + release.getToken();
  }
}
