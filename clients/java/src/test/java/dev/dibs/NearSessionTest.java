package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Invalidated;
import dev.dibs.v1.Lease;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionEvent;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.Tags;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A near cache with the session that tells it what changes. */
final class NearSessionTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions fake = new FakeSessions();
  private final Recorded hooks = new Recorded();
  private final AtomicLong nowNanos = new AtomicLong();
  private final DibsClient client = client();
  private FakeSessions.Stream stream;

  private DibsClient client() {
    DibsClientBuilder builder = fake.client().nearCache(1 << 20, "", "more").hooks(hooks);
    builder.nearClock = nowNanos::get;
    return builder.build();
  }

  private void pass(long ms) {
    nowNanos.addAndGet(Duration.ofMillis(ms).toNanos());
  }

  @BeforeEach
  void begin() throws Exception {
    CompletableFuture<String> first = get("first");
    stream = fake.stream();
    assertEquals(List.of("default", "more"), stream.welcome("resume").getWatchedNamespacesList());
    answer(stream.call(), "v");
    first.get();
    hooks.events.clear();
  }

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  private CompletableFuture<String> get(String key) {
    return client.getOrRebuildAsync(key, TEXT, () -> "mine");
  }

  private CompletableFuture<Map<String, String>> many(String... keys) {
    return client.getOrRebuildManyAsync(List.of(keys), TEXT, (missing, leases) -> Map.of());
  }

  private void answer(SessionCall call, String text) {
    answer(call, text, 60_000);
  }

  /** The same for each of many keys. */
  private void answer(SessionCall call, String text, long freshForMs) {
    Hit hit =
        Hit.newBuilder()
            .setValue(ByteString.copyFromUtf8(text))
            .setFreshForMs(freshForMs)
            .setTags(Tags.getDefaultInstance())
            .build();
    var response = GetOrLockResponse.newBuilder().setHit(hit);
    List<String> keys = call.getGetOrLockMany().getKeysList();
    for (String key : keys) {
      stream.reply(
          SessionReply.newBuilder()
              .setId(call.getId())
              .setMore(!key.equals(keys.get(keys.size() - 1)))
              .setGetOrLockMany(GetOrLockManyResponse.newBuilder().setKey(key).setResponse(response)));
    }
    if (keys.isEmpty()) stream.reply(SessionReply.newBuilder().setId(call.getId()).setGetOrLock(response));
  }

  private void tell(String key) {
    stream.tell(SessionEvent.newBuilder().setInvalidated(Invalidated.newBuilder().setNamespace("default").addKeys(key)));
  }

  private void beat() throws Exception {
    stream.tell(SessionEvent.newBuilder().setBeat(dev.dibs.v1.Beat.getDefaultInstance()));
    // What was told before has arrived with the answer.
    CompletableFuture<String> other = client.getOrRebuildAsync("sync", TEXT.read(Options.Read.STORE), () -> "never");
    answer(stream.call(), "v");
    other.get();
  }

  @Test
  void asksOnceForWhatDoesNotChange() throws Exception {
    beat();
    hooks.events.clear();
    for (int time = 0; time < 3; time += 1) assertEquals("v", get("first").get());
    assertEquals("v", client.getOrRebuild("first", TEXT, () -> "never"));
    assertEquals(List.of("hit FRESH", "hit FRESH", "hit FRESH", "hit FRESH"), hooks.events);
    assertTrue(stream.heard.isEmpty());
  }

  @Test
  void asksAgainAfterAChange() throws Exception {
    tell("first");
    beat();
    CompletableFuture<String> again = get("first");
    answer(stream.call(), "new");
    assertEquals("new", again.get());
  }

  @Test
  void asksAgainOnANewSession() throws Exception {
    stream.breakOff();
    // Near hits until the break has arrived, and then a call.
    Until.isTrue(
        () -> {
          get("first");
          return fake.hasStream();
        });
    stream = fake.stream();
    stream.welcome("later");
    assertEquals("first", stream.call().getGetOrLock().getKey());
  }

  @Test
  void sharesARequestThatIsUnderWayUntilAChangeArrives() throws Exception {
    CompletableFuture<String> one = get("k");
    SessionCall asked = stream.call();
    beat();
    CompletableFuture<String> two = get("k");
    assertTrue(stream.heard.isEmpty());
    tell("k");
    beat();
    CompletableFuture<String> three = get("k");
    SessionCall another = stream.call();
    answer(asked, "old");
    assertEquals("old", one.get());
    assertEquals("old", two.get());
    assertFalse(three.isDone());
    answer(another, "new");
    assertEquals("new", three.get());
    // What was asked for before the change was not kept.
    assertEquals("new", get("k").get());
  }

  @Test
  void keepsAnAnswerForLessTimeWhenItCameLate() throws Exception {
    CompletableFuture<String> one = get("k");
    CompletableFuture<Map<String, String>> two = many("a", "b");
    List<SessionCall> asked = List.of(stream.call(), stream.call());
    pass(800);
    for (SessionCall call : asked) answer(call, "v", 1_000);
    CompletableFuture.allOf(one, two).get();
    pass(100);
    for (String key : List.of("k", "a", "b")) assertEquals("v", get(key).get());
    assertTrue(stream.heard.isEmpty());
    pass(100);
    for (String key : List.of("k", "a", "b")) {
      CompletableFuture<String> again = get(key);
      SessionCall call = stream.call();
      pass(1_100);
      answer(call, "late", 1_000);
      assertEquals("late", again.get());
      get(key);
      assertEquals(key, stream.call().getGetOrLock().getKey());
      beat();
    }
  }

  @Test
  void countsACallThatIsSentAgainFromThen() throws Exception {
    CompletableFuture<Map<String, String>> two = many("a", "b");
    stream.call();
    pass(800);
    stream.breakOff();
    stream = fake.stream();
    stream.welcome("later");
    SessionCall again = stream.call();
    pass(100);
    answer(again, "v", 1_000);
    two.get();
    pass(899);
    assertEquals(Map.of("a", "v", "b", "v"), many("a", "b").get());
    pass(1);
    many("a", "b");
    assertEquals(List.of("a", "b"), stream.call().getGetOrLockMany().getKeysList());
  }

  @Test
  void dropsWhatIsThereAndWhatIsUnderWayAtALateBeat() throws Exception {
    for (long ms : List.of(2_999, 3_000)) {
      boolean isLate = ms == 3_000;
      CompletableFuture<String> one = get("one" + ms);
      CompletableFuture<Map<String, String>> two = many("a" + ms, "b" + ms);
      List<SessionCall> asked = List.of(stream.call(), stream.call());
      pass(ms);
      beat();
      // A request that left before may miss a change that is read later.
      CompletableFuture<String> joined = get("one" + ms);
      if (isLate) answer(stream.call(), "new");
      for (SessionCall call : asked) answer(call, "v");
      CompletableFuture.allOf(one, two).get();
      assertEquals(isLate ? "new" : "v", joined.get());
      for (String key : List.of("first", "a" + ms, "b" + ms)) {
        CompletableFuture<String> again = get(key);
        if (isLate) answer(stream.call(), "new");
        assertEquals(isLate ? "new" : "v", again.get());
      }
      for (String key : List.of("first", "one" + ms, "a" + ms)) {
        assertEquals(isLate ? "new" : "v", get(key).get());
      }
    }
  }

  @Test
  void letsNoCallerJoinARebuildFromBeforeALateBeat() throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> own = client.getOrRebuildAsync("k", TEXT, () -> {
      gate.await();
      return "mine";
    });
    lend(stream.call());
    beat();
    CompletableFuture<String> joined = get("k");
    assertFalse(stream.hasCall());
    pass(3_000);
    beat();
    CompletableFuture<String> later = get("k");
    answer(stream.call(), "new");
    assertEquals("new", later.get());
    assertFalse(joined.isDone());
    gate.countDown();
    assertEquals("mine", own.get());
  }

  private void assertIsAskedForAgain(String key) throws Exception {
    CompletableFuture<String> again = get(key);
    answer(stream.call(), "new");
    assertEquals("new", again.get());
  }

  /** It may have been applied. */
  @Test
  void dropsWhatACallerThatLeftHasInvalidated() throws Exception {
    CompletableFuture<InvalidateResult> call = client.invalidateAsync(Invalidation.ofKeys("first"));
    assertTrue(stream.call().hasInvalidate());
    assertEquals("v", get("first").get());
    call.cancel(false);
    assertIsAskedForAgain("first");
  }

  @Test
  void dropsWhatACallerThatLeftHasSet() throws Exception {
    CompletableFuture<Published> call = client.setAsync("first", "set", TEXT);
    lend(stream.call());
    assertTrue(stream.call().hasPublish());
    assertEquals("v", get("first").get());
    call.cancel(false);
    assertIsAskedForAgain("first");
  }

  @Test
  void dropsWhatAnInterruptedCallerHasSet() throws Exception {
    CompletableFuture<String> after = new CompletableFuture<>();
    Thread caller = new Thread(() -> {
      try {
        client.set("first", "set", TEXT);
      } catch (DibsStatusException error) {
        Thread.interrupted();
        after.complete(client.getOrRebuild("first", TEXT, () -> "mine"));
      }
    });
    caller.start();
    lend(stream.call());
    assertTrue(stream.call().hasPublish());
    caller.interrupt();
    answer(stream.call(), "new");
    assertEquals("new", after.get());
  }

  private void lend(SessionCall call) {
    var lease = Lease.newBuilder().setToken("t").setFence(1).setExpiresInMs(60_000);
    stream.reply(
        SessionReply.newBuilder()
            .setId(call.getId())
            .setGetOrLock(GetOrLockResponse.newBuilder().setLease(lease)));
  }
}
