package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.Busy;
import dev.dibs.v1.BusyReason;
import dev.dibs.v1.CallError;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionReply;
import io.grpc.Status;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Many keys, which their replicas do not all answer at once. */
@Timeout(60)
final class ManyReplicasTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final RebuildManyFunction<String> MINE = (keys, rebuild) -> {
    Map<String, String> values = new HashMap<>();
    keys.forEach(key -> values.put(key, "mine"));
    return values;
  };

  private final FakeSessions one = new FakeSessions();
  private final FakeSessions two = new FakeSessions();
  private DibsClient client;
  private FakeSessions.Stream answers;
  private FakeSessions.Stream hangs;
  private SessionCall look;

  @AfterEach
  void close() {
    if (client != null) client.close();
    one.close();
    two.close();
  }

  /** Asks for many keys. Two replicas have a share each, and one of them says nothing to its own. */
  private CompletableFuture<Map<String, String>> asked() throws Exception {
    client = DibsClient.builder().target(one.target() + "," + two.target()).connectTimeout(Until.PATIENCE).build();
    CompletableFuture<String> first = client.getOrRebuildAsync("first", TEXT, () -> "mine");
    answers = one.stream();
    hangs = two.stream();
    answers.welcome("one");
    hangs.welcome("two");
    boolean isOfOne = answers.hasCall();
    while (!isOfOne && !hangs.hasCall()) {
      TimeUnit.MILLISECONDS.sleep(1);
      isOfOne = answers.hasCall();
    }
    FakeSessions.Stream its = isOfOne ? answers : hangs;
    its.hit(its.call(), "v");
    assertEquals("v", first.get());
    List<String> keys = IntStream.range(0, 40).mapToObj(at -> "k" + at).toList();
    // From when both sessions are open.
    for (; ; ) {
      var many = client.getOrRebuildManyAsync(keys, TEXT.maxWait(Duration.ofSeconds(30)), MINE);
      while (!answers.hasCall() && !hangs.hasCall()) TimeUnit.MILLISECONDS.sleep(1);
      FakeSessions.Stream some = answers.hasCall() ? answers : hangs;
      SessionCall call = some.call();
      if (call.getGetOrLockMany().getKeysCount() == keys.size()) {
        some.hits(call, "v");
        many.get();
        continue;
      }
      look = some == answers ? call : answers.call();
      return many;
    }
  }

  private static void replies(FakeSessions.Stream stream, SessionCall call, GetOrLockResponse.Builder response) {
    List<String> keys = call.getGetOrLockMany().getKeysList();
    for (int at = 0; at < keys.size(); at += 1) {
      if (response.hasLease()) response.setLease(FakeService.leaseOf("token of " + keys.get(at), 60_000));
      stream.reply(
          SessionReply.newBuilder()
              .setId(call.getId())
              .setMore(at + 1 < keys.size())
              .setGetOrLockMany(GetOrLockManyResponse.newBuilder().setKey(keys.get(at)).setResponse(response)));
    }
  }

  @Test
  void oneThatHangsDoesNotHoldUpTheRebuildOfOtherKeys() throws Exception {
    var many = asked();
    replies(answers, look, GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf("t", 60_000)));
    // Long before the other one has used up the wait.
    SessionCall next = answers.call();
    assertEquals(SessionCall.RequestCase.PUBLISH, next.getRequestCase());
    many.cancel(false);
  }

  @Test
  void oneThatHangsDoesNotUseUpTheWaitOfKeysThatOthersRebuild() throws Exception {
    var many = asked();
    var held = Busy.newBuilder().setRetryAfterMs(10).setReason(BusyReason.BUSY_REASON_WAIT_ENDED);
    replies(answers, look, GetOrLockResponse.newBuilder().setBusy(held));
    GetOrLockManyRequest next = answers.call().getGetOrLockMany();
    assertEquals(look.getGetOrLockMany().getKeysList(), next.getKeysList());
    assertTrue(next.getWaitMs() > 0);
    many.cancel(false);
  }

  @Test
  void aCallThatIsRefusedMidwayIsRepeatedForTheOtherKeysOnly() throws Exception {
    client = one.client().build();
    var many = client.getOrRebuildManyAsync(List.of("a", "b"), TEXT, MINE);
    FakeSessions.Stream stream = one.stream();
    stream.welcome("one");
    SessionCall call = stream.call();
    var hit = GetOrLockResponse.newBuilder().setHit(FakeService.hitOf("v"));
    stream.reply(
        SessionReply.newBuilder()
            .setId(call.getId())
            .setMore(true)
            .setGetOrLockMany(GetOrLockManyResponse.newBuilder().setKey("a").setResponse(hit)));
    var refused = CallError.newBuilder().setCode(Status.Code.UNAUTHENTICATED.value()).setMessage("unknown token");
    stream.reply(SessionReply.newBuilder().setId(call.getId()).setError(refused));
    assertEquals(Map.of("a", "v", "b", FakeSessions.UNARY), many.get());
    assertEquals(List.of(List.of("b")), List.copyOf(one.keysOneByOne));
  }

  @Test
  void undecidedKeysAreAskedForNoLongerThanTheirCallerWaits() throws Exception {
    try (FakeService fake = new FakeService();
        DibsClient alone = fake.client().session(false).build()) {
      var undecided = Busy.newBuilder().setRetryAfterMs(10).setReason(BusyReason.BUSY_REASON_UNDECIDED);
      var busy = GetOrLockResponse.newBuilder().setBusy(undecided).build();
      fake.will(GetOrLockManyRequest.class, (request, reply) -> {
        for (String key : ((GetOrLockManyRequest) request).getKeysList()) {
          reply.onNext(GetOrLockManyResponse.newBuilder().setKey(key).setResponse(busy).build());
        }
        reply.onCompleted();
      });
      fake.will(GetOrLockRequest.class, FakeService.says(busy));
      Options<String> brief = TEXT.maxWait(Duration.ofMillis(50));
      assertTrue(alone.ready(Until.PATIENCE));
      assertThrows(DibsManyException.class, () -> alone.getOrRebuildMany(List.of("a", "b"), brief, MINE));
      // Every 20 ms within the wait, and once more for the wait itself. Within a second, which is the most, it is 50.
      int asked = fake.requests(GetOrLockManyRequest.class).size();
      assertTrue(asked < 10, "asked " + asked + " times");
    }
  }
}
