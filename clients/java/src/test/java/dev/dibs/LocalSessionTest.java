package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.dibs.v1.CallError;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Invalidated;
import dev.dibs.v1.SessionEvent;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.Tags;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What this process serves without the service, when a session stands that may know of newer values. */
final class LocalSessionTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions fake = new FakeSessions();
  private final DibsClient client = fake.client().nearCache(1 << 20).build();
  private final AtomicInteger rebuilds = new AtomicInteger();
  private FakeSessions.Stream stream;

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  private CompletableFuture<String> get(String key) {
    return client.getOrRebuildAsync(key, TEXT, () -> "v" + rebuilds.incrementAndGet());
  }

  private void begin() throws Exception {
    stream = fake.stream();
    stream.welcome("resume");
  }

  /** A call finds its session, and breaks off with it. */
  private void breakOff() throws Exception {
    begin();
    stream.call();
    stream.breakOff();
  }

  /** The session stands, and what is behind it answers nothing. A call is made a second time. */
  private void refuse() throws Exception {
    for (int time = 0; time < 2; time += 1) {
      CallError.Builder error = CallError.newBuilder().setCode(Status.Code.UNAVAILABLE.value()).setMessage("no");
      stream.reply(SessionReply.newBuilder().setId(stream.call().getId()).setError(error));
    }
  }

  private String refused(String key) throws Exception {
    CompletableFuture<String> call = get(key);
    refuse();
    return call.get();
  }

  private void changed(String key) {
    stream.tell(SessionEvent.newBuilder().setInvalidated(Invalidated.newBuilder().setNamespace("default").addKeys(key)));
  }

  @Test
  void isForgottenWhenASessionBegins() throws Exception {
    CompletableFuture<String> before = get("k");
    for (int time = 0; time < Availability.BROKEN_OFF_MAX; time += 1) breakOff();
    assertEquals("v1", before.get());
    CompletableFuture<String> after = get("k");
    for (int time = 0; time < 2; time += 1) breakOff();
    assertEquals("v2", after.get());
  }

  @Test
  void isNeitherJoinedNorKeptWhenASessionHasBegunMeanwhile() throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> old = client.getOrRebuildAsync("k", TEXT, () -> {
      running.countDown();
      gate.await();
      return "v1";
    });
    for (int time = 0; time < Availability.BROKEN_OFF_MAX; time += 1) breakOff();
    running.await();
    CompletableFuture<String> next = client.getOrRebuildAsync("k", TEXT, () -> "v2");
    begin();
    refuse();
    assertEquals("v2", next.get());
    gate.countDown();
    assertEquals("v1", old.get());
    assertEquals("v2", refused("k"));
  }

  @Test
  void isForgottenWhenTheSessionTellsOfItsChange() throws Exception {
    CompletableFuture<String> before = get("k");
    for (int time = 0; time < Availability.BROKEN_OFF_MAX; time += 1) breakOff();
    assertEquals("v1", before.get());
    CompletableFuture<String> after = get("k");
    begin();
    refuse();
    assertEquals("v2", after.get());
    assertEquals("v3", refused("other"));
    changed("k");
    assertEquals("v4", refused("k"));
    assertEquals("v3", refused("other"));
  }

  /** The near cache of this client has an old value of {@code k}. */
  private void keepsOld(DibsClient near) throws Exception {
    CompletableFuture<String> before = near.getOrRebuildAsync("k", TEXT, () -> "never");
    begin();
    Hit hit = FakeService.hitOf("old").toBuilder().setFreshForMs(60_000).setTags(Tags.getDefaultInstance()).build();
    stream.reply(
        SessionReply.newBuilder()
            .setId(stream.call().getId())
            .setGetOrLock(GetOrLockResponse.newBuilder().setHit(hit)));
    assertEquals("old", before.get());
  }

  /** What this process has made since is newer than what its near cache has from before. */
  @Test
  void isServedBeforeWhatANearCacheHasLeft() throws Exception {
    try (DibsClient near = fake.client().nearCache(1 << 20).serveNearWhenUnavailable(true).build()) {
      keepsOld(near);
      fake.close();
      assertEquals("old", near.getOrRebuild("k", TEXT, () -> "never"));
      assertEquals("new", near.getOrRebuild("k", TEXT.refresh(), () -> "new"));
      assertEquals("new", near.getOrRebuild("k", TEXT, () -> "never"));
    }
  }

  /** Something in between breaks streams, and lets single calls through. */
  @Test
  void replacesWhatANearCacheHasLeftOnceTheServiceHasAnsweredWithoutASession() throws Exception {
    try (DibsClient near = fake.client().nearCache(1 << 20).serveNearWhenUnavailable(true).build()) {
      keepsOld(near);
      CompletableFuture<String> lost = near.getOrRebuildAsync("lost", TEXT, () -> "mine");
      refuse();
      assertEquals("mine", lost.get());
      stream.breakOff();
      CompletableFuture<String> answered = near.getOrRebuildAsync("answered", TEXT, () -> "never");
      fake.stream().breakOff();
      assertEquals(FakeSessions.UNARY, answered.get());
      fake.close();
      assertEquals("new", near.getOrRebuild("k", TEXT, () -> "new"));
    }
  }

  /** Calls work at once where streams break, so none is lost. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void leavesNothingThatIsOlderThanAnAnswerWithoutASession(boolean many) throws Exception {
    try (DibsClient near = fake.client().nearCache(1 << 20).serveNearWhenUnavailable(true).build()) {
      keepsOld(near);
      CompletableFuture<String> lost = near.getOrRebuildAsync("lost", TEXT, () -> "mine");
      stream.call();
      stream.breakOff();
      fake.stream().breakOff();
      assertEquals(FakeSessions.UNARY, lost.get());
      String answer =
          many
              ? near.getOrRebuildMany(List.of("k"), TEXT, keys -> Map.of()).get("k")
              : near.getOrRebuild("k", TEXT, () -> "never");
      assertEquals(FakeSessions.UNARY, answer);
      fake.close();
      assertEquals("new", near.getOrRebuild("k", TEXT, () -> "new"));
    }
  }
}
