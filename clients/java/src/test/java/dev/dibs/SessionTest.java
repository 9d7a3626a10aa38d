package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.CallError;
import dev.dibs.v1.Draining;
import dev.dibs.v1.ExtendResponse;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.LeaseLost;
import dev.dibs.v1.PublishResponse;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionEvent;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.SessionRequest;
import io.grpc.Status;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What stands on the stream of a session, and what becomes of its end. */
final class SessionTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions fake = new FakeSessions();
  private final DibsClient client = fake.client().holder("me").build();

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  private CompletableFuture<String> get(String key) {
    return client.getOrRebuildAsync(key, TEXT, () -> "mine");
  }

  @Test
  void beginsWithAHelloAndAnswersInAnyOrder() throws Exception {
    CompletableFuture<String> one = get("one");
    FakeSessions.Stream stream = fake.stream();
    assertEquals("me", stream.welcome("resume").getHolder());
    CompletableFuture<String> two = get("two");
    SessionCall first = stream.call();
    SessionCall second = stream.call();
    assertEquals("one", first.getGetOrLock().getKey());
    assertTrue(first.getId() > 0 && second.getId() != first.getId());
    // The wait and the way, less the time until it leaves.
    assertTrue(first.getDeadlineMs() > 20_000 && first.getDeadlineMs() <= 32_000);
    stream.hit(second, "2");
    assertEquals("2", two.get());
    stream.hit(first, "1");
    assertEquals("1", one.get());
  }

  @Test
  void sendsTogetherWhatGathers() throws Exception {
    CompletableFuture<String> first = get("first");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    stream.hit(stream.call(), "v");
    first.get();
    for (int at = 0; at < 2_000; at += 1) get("k" + at + "x".repeat(1_000));
    Set<Long> ids = new HashSet<>();
    int messages = 0;
    while (ids.size() < 2_000) {
      SessionRequest message = stream.next();
      messages += 1;
      assertTrue(message.getSerializedSize() <= 1 << 20);
      message.getCallsList().forEach(call -> ids.add(call.getId()));
    }
    assertTrue(messages < 2_000, messages + " messages");
  }

  @Test
  void cancelsWhatNobodyWaitsFor() throws Exception {
    CompletableFuture<String> gone = get("k");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    SessionCall call = stream.call();
    gone.cancel(true);
    assertEquals(call.getId(), stream.next().getCancelledIds(0));
  }

  @Test
  void tellsErrorsAsCallsOneByOneDo() throws Exception {
    CompletableFuture<String> full = get("k");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    CallError.Builder error =
        CallError.newBuilder().setCode(8).setMessage("too many").setRetryAfterMs(60_000);
    stream.reply(SessionReply.newBuilder().setId(stream.call().getId()).setError(error));
    var told = (DibsStatusException) assertThrows(ExecutionException.class, full::get).getCause();
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, told.code());
    assertEquals("too many", told.getMessage());
    assertEquals(Duration.ofMinutes(1), told.retryAfter().orElseThrow());
  }

  @Test
  void isNotBrokenByWhatALaterServiceSays() throws Exception {
    CompletableFuture<String> call = get("k");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    stream.tell(SessionEvent.newBuilder());
    stream.reply(SessionReply.newBuilder().setId(999).setExtend(ExtendResponse.getDefaultInstance()));
    stream.hit(stream.call(), "v");
    assertEquals("v", call.get());
    CompletableFuture<String> wrong = get("w");
    long id = stream.call().getId();
    stream.reply(SessionReply.newBuilder().setId(id).setExtend(ExtendResponse.getDefaultInstance()));
    var told = (DibsStatusException) assertThrows(ExecutionException.class, wrong::get).getCause();
    assertEquals(Status.Code.INTERNAL, told.code());
  }

  @Test
  void thatBreaksIsTakenUpAgainWithTheSameCall() throws Exception {
    CompletableFuture<String> call = get("k");
    FakeSessions.Stream broken = fake.stream();
    assertEquals("", broken.welcome("resume").getResumeToken());
    GetOrLockRequest asked = broken.call().getGetOrLock();
    broken.breakOff();
    FakeSessions.Stream next = fake.stream();
    assertEquals("resume", next.welcome("later").getResumeToken());
    SessionCall again = next.call();
    assertEquals(asked.getRequestId(), again.getGetOrLock().getRequestId());
    next.hit(again, "v");
    assertEquals("v", call.get());
  }

  @Test
  void thatDrainsStillAnswersAndIsLeftForNewCalls() throws Exception {
    CompletableFuture<String> open = get("open");
    FakeSessions.Stream draining = fake.stream();
    draining.welcome("resume");
    SessionCall call = draining.call();
    draining.tell(SessionEvent.newBuilder().setDraining(Draining.newBuilder().setClosesInMs(10_000)));
    Until.isTrue(
        () -> {
          get("new " + System.nanoTime());
          return fake.hasStream();
        });
    // No part of the one before: its leases have not ended with it.
    assertEquals("", fake.stream().welcome("other").getResumeToken());
    draining.hit(call, "v");
    assertEquals("v", open.get());
  }

  @Test
  void tellsARebuildAtOnceThatItsLeaseIsLost() throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CompletableFuture<String> call =
        client.getOrRebuildAsync(
            "k",
            TEXT,
            lease -> {
              running.countDown();
              new CountDownLatch(1).await();
              return "never";
            });
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    GetOrLockResponse.Builder lease = GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf("t", 60_000));
    stream.reply(SessionReply.newBuilder().setId(stream.call().getId()).setGetOrLock(lease));
    assertTrue(running.await(10, TimeUnit.SECONDS));
    stream.tell(SessionEvent.newBuilder().setLeaseLost(LeaseLost.newBuilder().setToken("t")));
    SessionCall again = stream.call();
    assertTrue(again.hasGetOrLock());
    stream.hit(again, "theirs");
    assertEquals("theirs", call.get());
  }

  @Test
  void extendsALeaseAtOnceThatItsAnswerBringsLate() throws Exception {
    CompletableFuture<String> first = get("first");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    stream.hit(stream.call(), "v");
    first.get();
    // A third of the lease, if that counted from its answer. A busy machine may take as long once, but not each time.
    long maxNanos = Duration.ofMillis(950).toNanos();
    boolean isAtOnce = false;
    for (int time = 0; time < 8 && !isAtOnce; time += 1) isAtOnce = extendsALateLease(stream, "k" + time) < maxNanos;
    assertTrue(isAtOnce);
  }

  /** How long after its answer a lease of 3 s is extended that comes late, in nanoseconds. */
  private long extendsALateLease(FakeSessions.Stream stream, String token) throws Exception {
    CompletableFuture<String> call = client.getOrRebuildAsync(token, TEXT, () -> {
      new CountDownLatch(1).await();
      return "never";
    });
    SessionCall asked = callAbout(stream, sent -> sent.getGetOrLock().getKey().equals(token));
    Thread.sleep(2_050);
    GetOrLockResponse.Builder lease = GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf(token, 3_000));
    stream.reply(SessionReply.newBuilder().setId(asked.getId()).setGetOrLock(lease));
    long repliedNanos = System.nanoTime();
    callAbout(stream, sent -> sent.getExtend().getToken().equals(token));
    long tookNanos = System.nanoTime() - repliedNanos;
    call.cancel(false);
    return tookNanos;
  }

  /** The next call that is meant. Those before it are of calls that have ended. */
  private static SessionCall callAbout(FakeSessions.Stream stream, Predicate<SessionCall> isMeant) throws Exception {
    SessionCall call = stream.call();
    while (!isMeant.test(call)) call = stream.call();
    return call;
  }

  @Test
  void endsWithItsClient() throws Exception {
    CompletableFuture<String> call = get("k");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    SessionCall open = stream.call();
    client.close();
    stream.hit(open, "v");
    assertEquals("v", call.get());
  }

  /** A call that rebuilds under a lease of this stream until the gate opens. */
  private CompletableFuture<String> rebuilding(FakeSessions.Stream stream, CountDownLatch gate) throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CompletableFuture<String> call =
        client.getOrRebuildAsync(
            "k",
            TEXT,
            () -> {
              running.countDown();
              gate.await();
              return "old";
            });
    GetOrLockResponse.Builder lease = GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf("t", 60_000));
    stream.reply(SessionReply.newBuilder().setId(stream.call().getId()).setGetOrLock(lease));
    assertTrue(running.await(10, TimeUnit.SECONDS));
    return call;
  }

  @Test
  void thatEndsClosesTheRebuildsOfItsLeasesToNewcomers() throws Exception {
    client.getOrRebuildAsync("first", TEXT, () -> "mine");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    stream.call();
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> call = rebuilding(stream, gate);
    CompletableFuture<String> joined = get("k");
    stream.breakOff();
    FakeSessions.Stream next = fake.stream();
    next.welcome("later");
    // The call that was open there, asked again; the one that has joined has not asked.
    assertEquals("first", next.call().getGetOrLock().getKey());
    CompletableFuture<String> late = get("k");
    SessionCall own = next.call();
    assertEquals("k", own.getGetOrLock().getKey());
    next.hit(own, "new");
    assertEquals("new", late.get());
    assertFalse(joined.isDone());
    gate.countDown();
    SessionCall publish = next.call();
    assertTrue(publish.hasPublish());
    PublishResponse stored = PublishResponse.newBuilder().setOutcomeValue(1).setCounts(true).build();
    next.reply(SessionReply.newBuilder().setId(publish.getId()).setPublish(stored));
    assertEquals("old", call.get());
    assertEquals("old", joined.get());
  }

  @Test
  void isNotWaitedOnByCallersThatComeAfterARequestHasLeft() throws Exception {
    client.getOrRebuildAsync("first", TEXT, () -> "mine");
    FakeSessions.Stream stream = fake.stream();
    stream.welcome("resume");
    stream.hit(stream.call(), "v");
    CompletableFuture<String> one = get("k");
    SessionCall asked = stream.call();
    // Its request has left, and nothing tells of changes: the next caller asks for itself.
    CompletableFuture<String> two = get("k");
    SessionCall another = stream.call();
    assertEquals("k", another.getGetOrLock().getKey());
    stream.hit(another, "newer");
    assertEquals("newer", two.get());
    stream.hit(asked, "older");
    assertEquals("older", one.get());
  }
}
