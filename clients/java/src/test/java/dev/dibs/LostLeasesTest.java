package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.LeaseLost;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionEvent;
import dev.dibs.v1.SessionReply;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Leases that are lost before their rebuild begins, or while other callers wait for it too. */
@Timeout(60)
final class LostLeasesTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions fake = new FakeSessions();
  private final Recorded hooks = new Recorded();
  private final DibsClient client = fake.client().hooks(hooks).build();
  private final CountDownLatch begun = new CountDownLatch(1);
  private final CountDownLatch gate = new CountDownLatch(1);
  private FakeSessions.Stream stream;

  @BeforeEach
  void begin() throws Exception {
    CompletableFuture<String> first = get("first");
    stream = fake.stream();
    stream.welcome("resume");
    stream.hit(stream.call(), "v");
    first.get();
    hooks.events.clear();
  }

  @AfterEach
  void close() {
    gate.countDown();
    client.close();
    fake.close();
  }

  private CompletableFuture<String> get(String key) {
    return client.getOrRebuildAsync(key, TEXT, () -> "mine");
  }

  private void lose(String key, String token) {
    var lost = LeaseLost.newBuilder().setNamespace("default").setKey(key).setToken(token);
    stream.tell(SessionEvent.newBuilder().setLeaseLost(lost));
  }

  private static GetOrLockResponse.Builder lease(String token) {
    return GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf(token, 60_000));
  }

  private void grant(SessionCall call, String token) {
    stream.reply(SessionReply.newBuilder().setId(call.getId()).setGetOrLock(lease(token)));
  }

  private void grantOfMany(SessionCall call, String key, boolean more) {
    var one = GetOrLockManyResponse.newBuilder().setKey(key).setResponse(lease("token of " + key));
    stream.reply(SessionReply.newBuilder().setId(call.getId()).setMore(more).setGetOrLockMany(one));
  }

  /** A caller that has the lease, and rebuilds until it is interrupted. */
  private CompletableFuture<String> holder() throws Exception {
    CompletableFuture<String> first =
        client.getOrRebuildAsync("k", TEXT, () -> {
          begun.countDown();
          gate.await();
          return "mine";
        });
    grant(stream.call(), "t");
    begun.await();
    return first;
  }

  @Test
  void areNotRebuiltIfTheLossComesBeforeTheLease() throws Exception {
    CompletableFuture<String> call = client.getOrRebuildAsync("k", TEXT, () -> {
      begun.countDown();
      return "mine";
    });
    SessionCall asked = stream.call();
    lose("k", "t");
    grant(asked, "t");
    SessionCall again = stream.call();
    assertTrue(again.hasGetOrLock(), again.toString());
    stream.hit(again, "theirs");
    assertEquals("theirs", call.get());
    assertEquals(1, begun.getCount());
    assertEquals(1, hooks.events.stream().filter("lease lost"::equals).count());
  }

  @Test
  void areRememberedInABoundedNumber() {
    HeldLeases held = new HeldLeases();
    for (int at = 0; at <= HeldLeases.LOST_MAX; at += 1) held.lost("t" + at);
    CompletableFuture<Void> oldest = new CompletableFuture<>();
    held.watch("t0", () -> oldest.complete(null)).run();
    assertEquals(false, oldest.isDone());
    CompletableFuture<Void> next = new CompletableFuture<>();
    held.watch("t1", () -> next.complete(null)).run();
    assertTrue(next.isDone());
  }

  @Test
  void areLeftOutOfARebuildOfManyKeys() throws Exception {
    CompletableFuture<List<String>> rebuilt = new CompletableFuture<>();
    var many =
        client.getOrRebuildManyAsync(List.of("a", "b"), TEXT, (keys, rebuild) -> {
          rebuilt.complete(List.copyOf(keys));
          return Map.of("a", "mine", "b", "mine");
        });
    SessionCall look = stream.call();
    grantOfMany(look, "a", true);
    lose("a", "token of a");
    // Its call asks for it again before the first rebuild begins.
    SessionCall again = stream.call();
    assertEquals("a", again.getGetOrLock().getKey());
    grantOfMany(look, "b", false);
    assertEquals(List.of("b"), rebuilt.get(30, TimeUnit.SECONDS));
    many.cancel(false);
  }

  @Test
  void keepNoRequestAliveWhoseOwnCallerLeavesLater() throws Exception {
    CompletableFuture<String> first = holder();
    get("k");
    lose("k", "t");
    List<Long> both = List.of(stream.call().getId(), stream.call().getId());
    first.cancel(false);
    assertTrue(both.contains(stream.next().getCancelledIds(0)));
  }

  @Test
  void areAskedForOnlyByTheCallerThatJoinedIfTheFirstOneHasLeft() throws Exception {
    CompletableFuture<String> first = holder();
    CompletableFuture<String> joined = get("k");
    first.cancel(false);
    lose("k", "t");
    stream.hit(stream.call(), "theirs");
    assertEquals("theirs", value(joined));
    get("another");
    assertEquals("another", stream.call().getGetOrLock().getKey());
  }

  private static String value(CompletableFuture<String> of)
      throws ExecutionException, InterruptedException, TimeoutException {
    return of.get(30, TimeUnit.SECONDS);
  }
}
