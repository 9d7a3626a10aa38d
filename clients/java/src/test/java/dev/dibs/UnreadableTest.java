package dev.dibs;

import static dev.dibs.FakeService.NEVER;
import static dev.dibs.FakeService.busy;
import static dev.dibs.FakeService.hit;
import static dev.dibs.FakeService.lease;
import static dev.dibs.FakeService.unavailable;
import static dev.dibs.v1.Freshness.FRESHNESS_FRESH;
import static dev.dibs.v1.Freshness.FRESHNESS_STALE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.Message;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Intent;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.ReleaseRequest;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Callers that share the rebuild of a value that their codec cannot read keep what is their own. */
final class UnreadableTest {
  /** Reads everything but "old". */
  private static final Codec<String> CODEC =
      new Codec<>() {
        @Override
        public byte[] encode(String value) {
          return UTF_8.encode(value);
        }

        @Override
        public String decode(byte[] bytes) {
          String text = UTF_8.decode(bytes);
          if (text.equals("old")) throw new IllegalArgumentException("of an older version");
          return text;
        }
      };

  private static final Options<String> TEXT = Options.of(CODEC, Duration.ofMinutes(1));

  private final FakeService fake = new FakeService();
  private final Recorded hooks = new Recorded();

  /** How many steps have ended that the client has given to its executor. */
  private final AtomicInteger steps = new AtomicInteger();

  private final DibsClient client = fake.client().session(false).hooks(hooks).executor(this::execute).build();
  private final BlockingQueue<StreamObserver<Message>> asked = new LinkedBlockingQueue<>();
  private final FakeService.Answer later = (request, reply) -> asked.add(reply);

  /** Rebuilds end only after both callers have come. */
  private final CountDownLatch joined = new CountDownLatch(1);

  /** On a busy machine, connecting takes longer than these waits. */
  @BeforeEach
  void connect() throws Exception {
    client.ready(Until.PATIENCE);
  }

  private void execute(Runnable step) {
    Threads.REBUILDS.execute(() -> {
      step.run();
      steps.incrementAndGet();
    });
  }

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  private CompletableFuture<String> get(Options<String> options) throws Exception {
    int before = asked.size();
    CompletableFuture<String> call = client.getOrRebuildAsync("k", options, this::rebuild);
    Until.isTrue(() -> asked.size() > before);
    return call;
  }

  private String rebuild() throws InterruptedException {
    joined.await();
    return "mine";
  }

  private void find(StreamObserver<Message> reply) {
    hit("old").to(null, reply);
  }

  /** Both have asked for the value; the first asks for a refresh now, and {@code refresh} are the answers to it. */
  private CompletableFuture<?>[] both(Options<String> first, Options<String> second, FakeService.Answer... refresh)
      throws Exception {
    fake.will(GetOrLockRequest.class, later);
    CompletableFuture<String> one = get(first);
    CompletableFuture<String> two = get(second);
    fake.will(GetOrLockRequest.class, refresh);
    find(asked.take());
    Until.isTrue(() -> refreshes() == 1);
    find(asked.take());
    // Each has found out that it cannot read the value, and has asked or joined. No rebuild has ended.
    Until.isTrue(() -> steps.get() == 2);
    assertEquals(2, hooks.of("undecodable").size());
    joined.countDown();
    return new CompletableFuture<?>[] {one, two};
  }

  private long refreshes() {
    return fake.requests(GetOrLockRequest.class).stream()
        .filter(request -> request.getIntent() == Intent.INTENT_REFRESH)
        .count();
  }

  @Test
  void shareOneRebuild() throws Exception {
    var calls = both(TEXT, TEXT.maxWait(Duration.ofSeconds(20)), lease("t", 10_000));
    assertEquals("mine", calls[0].get());
    assertEquals("mine", calls[1].get());
    assertEquals(1, refreshes());
  }

  @Test
  void doNotWaitLongerThanTheyMay() throws Exception {
    var calls = both(TEXT, TEXT.maxWait(Duration.ofSeconds(2)), NEVER);
    var error = assertThrows(ExecutionException.class, () -> calls[1].get(20, TimeUnit.SECONDS)).getCause();
    assertEquals(BusyReason.WAIT_ENDED, assertInstanceOf(DibsBusyException.class, error).reason());
    assertEquals(false, calls[0].isDone());
    assertEquals(1, refreshes());
  }

  @Test
  void goOnWhereOnlyTheWaitOfTheFirstHasEnded() throws Exception {
    var calls = both(TEXT.maxWait(Duration.ofSeconds(20)), TEXT, later);
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    // It may come back after its wait has ended.
    busy(20_000, dev.dibs.v1.BusyReason.BUSY_REASON_WAIT_ENDED_VALUE).to(null, asked.take());
    assertInstanceOf(
        DibsBusyException.class, assertThrows(ExecutionException.class, () -> calls[0].get()).getCause());
    assertEquals("mine", calls[1].get());
    assertEquals(2, refreshes());
  }

  @Test
  void failWithoutTheServiceOnlyWhereTheyWantTo() throws Exception {
    var calls = both(TEXT.onUnavailable(OnUnavailable.FAIL), TEXT, later);
    List<StreamObserver<Message>> refreshes = List.of(asked.take(), asked.take());
    fake.will(GetOrLockRequest.class, unavailable());
    refreshes.forEach(reply -> unavailable().to(null, reply));
    assertInstanceOf(
        DibsStatusException.class, assertThrows(ExecutionException.class, () -> calls[0].get()).getCause());
    assertEquals("mine", calls[1].get());
  }

  private static FakeService.Answer leaseBeside(String previous, dev.dibs.v1.Freshness freshness) {
    var hit = FakeService.hitOf(previous).toBuilder().setFreshness(freshness);
    var lease = FakeService.leaseOf("t", 10_000).setPrevious(hit);
    return FakeService.says(GetOrLockResponse.newBuilder().setLease(lease).build());
  }

  /** Otherwise each process of a fleet would rebuild it, one after another. */
  @Test
  void takeWhatAnotherProcessHasPutInItsPlace() throws Exception {
    fake.will(GetOrLockRequest.class, hit("old"), leaseBeside("theirs", FRESHNESS_FRESH));
    assertEquals("theirs", client.getOrRebuild("k", TEXT, () -> "never"));
    Until.isTrue(() -> fake.requests(ReleaseRequest.class).size() == 1);
    assertEquals(false, fake.requests(ReleaseRequest.class).get(0).hasFailure());
    assertEquals(List.of(), fake.requests(PublishRequest.class));
  }

  @Test
  void rebuildWhatNoProcessHasReplaced() throws Exception {
    joined.countDown();
    fake.will(GetOrLockRequest.class, hit("old"), leaseBeside("old", FRESHNESS_FRESH));
    assertEquals("mine", client.getOrRebuild("k", TEXT, this::rebuild));
    fake.will(GetOrLockRequest.class, hit("old"), leaseBeside("theirs", FRESHNESS_STALE));
    assertEquals("mine", client.getOrRebuild("k", TEXT, this::rebuild));
    assertEquals(2, fake.requests(PublishRequest.class).size());
  }

  /** A stale value that cannot be read is no help. */
  @Test
  void haveTheErrorOfTheRebuildAndNotThatOfTheCodec() {
    fake.will(GetOrLockRequest.class, leaseBeside("old", FRESHNESS_STALE));
    Options<String> either = TEXT.revalidate(Options.Revalidate.AWAIT).staleIfError();
    var error =
        assertThrows(
            IllegalStateException.class,
            () -> client.getOrRebuild("k", either, () -> { throw new IllegalStateException("away"); }));
    assertEquals("away", error.getMessage());
    assertEquals(1, hooks.of("undecodable").size());
  }
}
