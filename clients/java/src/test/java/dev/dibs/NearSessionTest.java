package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Invalidated;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionEvent;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.Tags;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A near cache with the session that tells it what changes. */
final class NearSessionTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions fake = new FakeSessions();
  private final Recorded hooks = new Recorded();
  private final DibsClient client = fake.client().nearCache(1 << 20, "", "more").hooks(hooks).build();
  private FakeSessions.Stream stream;

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

  private void answer(SessionCall call, String text) {
    Hit hit =
        Hit.newBuilder()
            .setValue(ByteString.copyFromUtf8(text))
            .setFreshForMs(60_000)
            .setTags(Tags.getDefaultInstance())
            .build();
    stream.reply(
        SessionReply.newBuilder().setId(call.getId()).setGetOrLock(GetOrLockResponse.newBuilder().setHit(hit)));
  }

  /** Also keeps the entries alive on a machine that is slow. */
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
}
