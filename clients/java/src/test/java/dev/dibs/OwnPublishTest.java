package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.google.protobuf.ByteString;
import dev.dibs.v1.CallError;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.PublishOutcome;
import dev.dibs.v1.PublishResponse;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.Tags;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A process reads its own writes, before a session reports them. */
final class OwnPublishTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions fake = new FakeSessions();
  private final DibsClient client = fake.client().nearCache(1 << 20).build();
  private FakeSessions.Stream stream;

  @BeforeEach
  void begin() throws Exception {
    CompletableFuture<String> first = get("first");
    stream = fake.stream();
    stream.welcome("resume");
    answer(stream.call(), "v");
    first.get();
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
    var hit =
        Hit.newBuilder()
            .setValue(ByteString.copyFromUtf8(text))
            .setFreshForMs(60_000)
            .setTags(Tags.getDefaultInstance());
    stream.reply(
        SessionReply.newBuilder().setId(call.getId()).setGetOrLock(GetOrLockResponse.newBuilder().setHit(hit)));
  }

  /** Up to its publish, which is returned. */
  private SessionCall refresh(CompletableFuture<String> result) throws Exception {
    client.getOrRebuildAsync("k", TEXT.refresh(), () -> "new")
        .whenComplete((value, error) -> Futures.settle(result, value, error));
    var lease = GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf("t", 60_000));
    stream.reply(SessionReply.newBuilder().setId(stream.call().getId()).setGetOrLock(lease));
    return stream.call();
  }

  @Test
  void dropsItsCopyAlsoIfThePublishHasNoAnswer() throws Exception {
    CompletableFuture<String> old = get("k");
    answer(stream.call(), "old");
    assertEquals("old", old.get());
    CompletableFuture<String> refreshed = new CompletableFuture<>();
    SessionCall publish = refresh(refreshed);
    var gone = CallError.newBuilder().setCode(Status.Code.UNAVAILABLE.value()).setMessage("gone");
    stream.reply(SessionReply.newBuilder().setId(publish.getId()).setError(gone));
    assertEquals("new", refreshed.get());
    CompletableFuture<String> next = get("k");
    while (!next.isDone()) {
      SessionCall call = stream.hasCall() ? stream.call() : SessionCall.getDefaultInstance();
      // The publish is repeated in the background.
      if (call.hasGetOrLock()) answer(call, "newest");
      TimeUnit.MILLISECONDS.sleep(1);
    }
    assertEquals("newest", next.get());
  }

  @Test
  void joinsNoRequestFromBeforeIt() throws Exception {
    CompletableFuture<String> before = get("k");
    SessionCall earlier = stream.call();
    CompletableFuture<String> refreshed = new CompletableFuture<>();
    SessionCall publish = refresh(refreshed);
    var stored = PublishResponse.newBuilder().setOutcome(PublishOutcome.PUBLISH_OUTCOME_STORED).setCounts(true);
    stream.reply(SessionReply.newBuilder().setId(publish.getId()).setPublish(stored));
    assertEquals("new", refreshed.get());
    CompletableFuture<String> after = get("k");
    SessionCall asked = stream.call();
    // On a busy machine, the publish may have been repeated.
    while (!asked.hasGetOrLock()) asked = stream.call();
    answer(asked, "new");
    assertEquals("new", after.get());
    assertFalse(before.isDone());
    answer(earlier, "old");
    assertEquals("old", before.get());
  }
}
