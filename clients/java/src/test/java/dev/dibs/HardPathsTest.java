package dev.dibs;

import static dev.dibs.FakeService.LOST;
import static dev.dibs.FakeService.NEVER;
import static dev.dibs.FakeService.busy;
import static dev.dibs.FakeService.hit;
import static dev.dibs.FakeService.lease;
import static dev.dibs.FakeService.leaseWithPrevious;
import static dev.dibs.FakeService.published;
import static dev.dibs.FakeService.refuses;
import static dev.dibs.FakeService.says;
import static dev.dibs.FakeService.unavailable;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Message;
import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.ReleaseRequest;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Over real gRPC, from a service that answers what a real one answers only on a bad day. */
final class HardPathsTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeService fake = new FakeService();
  private final Recorded hooks = new Recorded();
  private DibsClient client = fake.client().hooks(hooks).build();

  /** On a busy machine, connecting takes longer than some of these calls may. */
  @BeforeEach
  void connect() throws Exception {
    assertTrue(client.ready(Until.PATIENCE));
  }

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  private String get(Options<String> options) throws Exception {
    return client.getOrRebuild("k", options, () -> "mine");
  }

  @Test
  void aWaitIsAskedForAgainAsOneCallWhileTheCallerHasTime() throws Exception {
    fake.will(
        GetOrLockRequest.class,
        busy(1, 1),
        refuses(Status.RESOURCE_EXHAUSTED, 1),
        refuses(Status.UNAVAILABLE, 1),
        hit("v"));
    assertEquals("v", get(TEXT.maxWait(Duration.ofSeconds(20))));
    List<GetOrLockRequest> asked = fake.requests(GetOrLockRequest.class);
    assertEquals(4, asked.size());
    assertEquals(1, asked.stream().map(GetOrLockRequest::getRequestId).distinct().count());
    assertFalse(asked.get(0).getRequestId().isEmpty());
    assertTrue(asked.get(3).getWaitMs() < asked.get(0).getWaitMs());
    assertTrue(asked.get(0).getHolder().endsWith("/" + ProcessHandle.current().pid()));
  }

  @Test
  void aWaitDoesNotOutlastTheTimeToComeBack() {
    fake.will(GetOrLockRequest.class, busy(60_000, 1));
    var error = assertThrows(DibsBusyException.class, () -> get(TEXT.maxWait(Duration.ofSeconds(30))));
    assertEquals(BusyReason.WAIT_ENDED, error.reason());
    assertEquals(Duration.ofMinutes(1), error.retryAfter().orElseThrow());
    assertEquals(Duration.ofMillis(7), error.holderAge());
    assertEquals(List.of("wait false"), hooks.events);
  }

  @ParameterizedTest
  @CsvSource({"2, DEADLINE_TOO_SHORT", "6, NO_VALUE"})
  void aWaitThatCannotSucceedEndsAtOnce(int wire, BusyReason reason) {
    fake.will(GetOrLockRequest.class, busy(1, wire));
    Options<String> options = TEXT.maxWait(Duration.ofSeconds(20));
    assertEquals(reason, assertThrows(DibsBusyException.class, () -> get(options)).reason());
    assertEquals(1, fake.heard.size());
  }

  @Test
  void anOutcomeOfALaterServiceIsNoAnswer() {
    fake.will(GetOrLockRequest.class, says(GetOrLockResponse.getDefaultInstance()));
    Options<String> options = TEXT.maxWait(Duration.ofMillis(30));
    assertEquals(BusyReason.UNSPECIFIED, assertThrows(DibsBusyException.class, () -> get(options)).reason());
    fake.will(GetOrLockRequest.class, busy(60_000, 99));
    assertEquals(BusyReason.UNSPECIFIED, assertThrows(DibsBusyException.class, () -> get(options)).reason());
  }

  @Test
  void aServiceThatBreaksOffIsAskedOnceMoreAsTheSameCall() throws Exception {
    fake.will(GetOrLockRequest.class, unavailable(), hit("v"));
    assertEquals("v", get(TEXT));
    List<GetOrLockRequest> asked = fake.requests(GetOrLockRequest.class);
    assertEquals(asked.get(0).getRequestId(), asked.get(1).getRequestId());
  }

  @Test
  void aServiceThatBreaksOffTwiceIsDoneWithoutOneRebuildAtATime() throws Exception {
    BlockingQueue<StreamObserver<Message>> asked = new LinkedBlockingQueue<>();
    FakeService.Answer later = (request, reply) -> asked.add(reply);
    fake.will(GetOrLockRequest.class, later, later, unavailable());
    CountDownLatch gate = new CountDownLatch(1);
    AtomicInteger running = new AtomicInteger();
    RebuildFunction<String, Exception> rebuild = lease -> {
      int atOnce = running.incrementAndGet();
      gate.await();
      running.decrementAndGet();
      return lease.reason() + " " + lease.fence() + " " + lease.hasPrevious() + " " + atOnce;
    };
    // Not joined as calls, so that each finds out by itself.
    Options<String> options = TEXT.read(Options.Read.STORE);
    CompletableFuture<String> one = client.getOrRebuildAsync("k", options, rebuild);
    CompletableFuture<String> two = client.getOrRebuildAsync("k", options, rebuild);
    // A rebuild that begins after both calls is new enough for both.
    for (var reply : List.of(asked.take(), asked.take())) unavailable().to(null, reply);
    Until.isTrue(() -> hooks.events.contains("local rebuild"));
    gate.countDown();
    // Whether the second has joined the first, or comes after it, is left to the network.
    assertEquals("LOCAL 0 false 1", one.get());
    assertEquals("LOCAL 0 false 1", two.get());
    assertTrue(fake.requests(PublishRequest.class).isEmpty());
  }

  @Test
  void aServiceThatBrokeOffButSaidWhenToComeBackHasDecided() {
    fake.will(GetOrLockRequest.class, refuses(Status.UNAVAILABLE, 60_000));
    DibsStatusException error = assertThrows(DibsStatusException.class, () -> get(TEXT));
    assertEquals(Status.Code.UNAVAILABLE, error.code());
    assertEquals(Duration.ofMinutes(1), error.retryAfter().orElseThrow());
  }

  @Test
  void nobodyWhoAnswersInTimeIsNobodyThere() throws Exception {
    fake.will(GetOrLockRequest.class, NEVER);
    assertEquals("mine", get(TEXT.maxWait(Duration.ZERO)));
    assertEquals(1, fake.heard.size());
  }

  @Test
  void aCallerThatLeavesTakesItsWaitWithIt() throws Exception {
    fake.will(GetOrLockRequest.class, NEVER);
    CompletableFuture<String> call = client.getOrRebuildAsync("k", TEXT, () -> "never");
    Until.isTrue(() -> fake.heard.size() == 1);
    call.cancel(true);
    Until.isTrue(() -> fake.cancelled.size() == 1);
  }

  @Test
  void aCallerThatLeavesEndsAPause() throws Exception {
    fake.will(GetOrLockRequest.class, busy(20_000, 1));
    CompletableFuture<String> call = client.getOrRebuildAsync("k", TEXT, () -> "never");
    Until.isTrue(() -> hooks.events.size() == 1);
    call.cancel(true);
    fake.will(GetOrLockRequest.class, hit("v"));
    assertEquals("v", get(TEXT));
  }

  @Test
  void aPublishThatIsRefusedWhenItIsRepeatedGivesTheLeaseBack() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    Status tooLarge = Status.RESOURCE_EXHAUSTED.withDescription("value: too large");
    fake.will(PublishRequest.class, unavailable(), refuses(tooLarge));
    assertEquals("mine", get(TEXT));
    Until.isTrue(() -> fake.requests(ReleaseRequest.class).size() == 1);
    assertEquals("value: too large", fake.requests(ReleaseRequest.class).get(0).getFailure().getMessage());
    assertEquals(2, fake.requests(PublishRequest.class).size());
  }

  @Test
  void aPublishThatIsNotAnsweredIsRepeatedBehind() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    fake.will(
        PublishRequest.class, unavailable(), published(dev.dibs.v1.PublishOutcome.PUBLISH_OUTCOME_DUPLICATE));
    assertEquals("mine", get(TEXT.tags("a", "b").staleTtl(Duration.ofSeconds(5))));
    Until.isTrue(() -> hooks.events.contains("publish DUPLICATE"));
    List<PublishRequest> sent = fake.requests(PublishRequest.class);
    assertEquals(sent.get(0), sent.get(1));
    assertEquals(List.of("a", "b"), sent.get(0).getTagsList());
    assertEquals(5_000, sent.get(0).getStaleMs());
    assertTrue(fake.requests(ReleaseRequest.class).isEmpty());
  }

  @Test
  void aPublishThatIsRefusedIsToldToTheWaitersAndTheCallerHasItsValue() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    fake.will(PublishRequest.class, refuses(Status.INVALID_ARGUMENT.withDescription("tags: too many")));
    assertEquals("mine", get(TEXT));
    assertEquals(List.of("not storable INVALID_ARGUMENT"), hooks.events);
    ReleaseRequest release = fake.requests(ReleaseRequest.class).get(0);
    assertEquals("t", release.getToken());
    assertEquals("tags: too many", release.getFailure().getMessage());
  }

  @ParameterizedTest
  @CsvSource({"4, SUPERSEDED", "6, UNKNOWN_LEASE", "7, NOT_STORED", "99, UNSPECIFIED"})
  void aResultIsItsCallersWhateverBecameOfIt(int wire, PublishOutcome outcome) throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    fake.will(
        PublishRequest.class,
        says(dev.dibs.v1.PublishResponse.newBuilder().setOutcomeValue(wire).build()));
    assertEquals("mine", get(TEXT));
    assertTrue(hooks.events.contains("publish " + outcome), hooks.events.toString());
  }

  @Test
  void aLeaseThatIsLostIsAskedForAgainWhileThereIsTime() throws Exception {
    fake.will(GetOrLockRequest.class, lease("one", 1_500), hit("theirs"));
    fake.will(ExtendRequest.class, says(LOST));
    RebuildFunction<String, Exception> patient = lease -> {
      new CountDownLatch(1).await();
      return "never";
    };
    assertEquals("theirs", client.getOrRebuild("k", TEXT, patient));
    // With the same ID it would get the lease back that it lost.
    var ids = fake.requests(GetOrLockRequest.class).stream().map(GetOrLockRequest::getRequestId);
    assertEquals(2, ids.distinct().count());
    assertTrue(fake.requests(ReleaseRequest.class).isEmpty());
    // An extension comes far earlier than its end.
    fake.will(GetOrLockRequest.class, lease("two", 6_000));
    Options<String> hasty = TEXT.maxWait(Duration.ofMillis(1));
    DibsBusyException error = assertThrows(DibsBusyException.class, () -> client.getOrRebuild("k", hasty, patient));
    assertEquals(BusyReason.WAIT_ENDED, error.reason());
  }

  @Test
  void aLeaseIsKnownToBeLostWithItsEndAlsoWhileAnExtensionHangs() throws Exception {
    fake.will(GetOrLockRequest.class, lease("one", 120));
    fake.will(ExtendRequest.class, NEVER);
    assertEquals("mine", client.getOrRebuild("k", TEXT, HardPathsTest::mineOnceLost));
    assertEquals(List.of("lease lost", "publish STORED"), hooks.events);
  }

  /** The service does not answer the extensions, and has given the lease to another caller meanwhile. */
  @ParameterizedTest
  @CsvSource({"PUBLISH_OUTCOME_SUPERSEDED", "PUBLISH_OUTCOME_INVALIDATED", "PUBLISH_OUTCOME_UNKNOWN_LEASE"})
  void aResultWhoseLeaseRanOutIsNobodysWhereThePublishSaysSo(dev.dibs.v1.PublishOutcome outcome) throws Exception {
    fake.will(GetOrLockRequest.class, lease("one", 60), hit("theirs"));
    fake.will(ExtendRequest.class, NEVER);
    fake.will(PublishRequest.class, published(outcome));
    assertEquals("theirs", client.getOrRebuild("k", TEXT, HardPathsTest::mineOnceLost));
    assertEquals(1, fake.requests(PublishRequest.class).size());
    assertTrue(hooks.events.contains("lease lost"), hooks.events.toString());
  }

  private static String mineOnceLost(Rebuild<String> lease) {
    while (!lease.isLost()) LockSupport.parkNanos(1_000_000);
    return "mine";
  }

  @Test
  void aRebuildBehindThatFailsIsToldToTheHook() throws Exception {
    fake.will(GetOrLockRequest.class, leaseWithPrevious("old"));
    String value = client.getOrRebuild("k", TEXT, () -> { throw new IOException("away"); });
    assertEquals("old", value);
    Until.isTrue(() -> hooks.events.contains("background error: away"));
    assertEquals("away", fake.requests(ReleaseRequest.class).get(0).getFailure().getMessage());
    fake.will(GetOrLockRequest.class, leaseWithPrevious("old"));
    assertThrows(
        IOException.class,
        () -> client.getOrRebuild("k", TEXT.refresh(), () -> { throw new IOException("away"); }));
  }

  @Test
  void aRebuildThatNobodyWaitsForIsReleasedWithoutFailure() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    CountDownLatch running = new CountDownLatch(1);
    CompletableFuture<String> call = client.getOrRebuildAsync("k", TEXT, () -> {
      running.countDown();
      new CountDownLatch(1).await();
      return "never";
    });
    assertTrue(running.await(10, TimeUnit.SECONDS));
    call.cancel(true);
    Until.isTrue(() -> !fake.requests(ReleaseRequest.class).isEmpty());
    assertFalse(fake.requests(ReleaseRequest.class).get(0).hasFailure());
  }

  @Test
  void aServiceThatNobodyCanConnectToIsDoneWithoutWithItsBoundAndThenAtOnce() throws Exception {
    // Takes connections and says nothing on them, as a hung process does.
    try (ServerSocket mute = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        DibsClient hung = DibsClient.builder().target("127.0.0.1:" + mute.getLocalPort()).build()) {
      assertEquals("mine", hung.getOrRebuild("k", TEXT, () -> "mine"));
      long startNanos = System.nanoTime();
      for (int time = 0; time < 10; time += 1) {
        DibsStatusException error =
            assertThrows(
                DibsStatusException.class,
                () -> hung.getOrRebuild("k", TEXT.onUnavailable(OnUnavailable.FAIL), () -> "never"));
        assertTrue(error.getMessage().contains("127.0.0.1:" + mute.getLocalPort()), error.getMessage());
      }
      // They do not wait for a connection again. Else each of them would take two seconds.
      assertTrue(System.nanoTime() - startNanos < TimeUnit.SECONDS.toNanos(15));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"\ud800", "\udc00x", "a\ud83d"})
  void aKeyThatIsNoTextIsRefusedBeforeItBecomesAnother(String key) {
    DibsStatusException error =
        assertThrows(DibsStatusException.class, () -> client.getOrRebuild(key, TEXT, () -> "never"));
    assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
    assertTrue(error.getMessage().startsWith("key:"));
    assertTrue(fake.heard.isEmpty());
  }

  @Test
  void theTokenAndTheTargetAreTheCallersElseTheEnvironments() throws Exception {
    fake.will(GetOrLockRequest.class, hit("v"));
    var authorization = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    Map<String, String> environment = Map.of("DIBS_TARGET", fake.target(), "DIBS_TOKEN", "secret", "DIBS_TLS_CA", "");
    try (DibsClient told = new DibsClientBuilder(environment).connectTimeout(Until.PATIENCE).build()) {
      assertEquals("v", told.getOrRebuild("k", TEXT, () -> "never"));
    }
    assertEquals("Bearer secret", fake.headers.get(fake.headers.size() - 1).get(authorization));
    DibsClientBuilder mine = new DibsClientBuilder(environment).token("mine").session(false);
    try (DibsClient told = mine.connectTimeout(Until.PATIENCE).build()) {
      assertEquals("v", told.getOrRebuild("k", TEXT, () -> "never"));
    }
    assertEquals("Bearer mine", fake.headers.get(fake.headers.size() - 1).get(authorization));
  }
}
