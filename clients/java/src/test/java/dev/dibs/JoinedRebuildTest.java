package dev.dibs;

import static dev.dibs.FakeService.NEVER;
import static dev.dibs.FakeService.hit;
import static dev.dibs.FakeService.lease;
import static dev.dibs.FakeService.leaseWithPrevious;
import static dev.dibs.FakeService.says;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.InvalidateRequest;
import dev.dibs.v1.InvalidateResponse;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.PublishResponse;
import dev.dibs.v1.ReleaseOutcome;
import dev.dibs.v1.ReleaseRequest;
import dev.dibs.v1.ReleaseResponse;
import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Callers that come while a rebuild of their own process runs. */
final class JoinedRebuildTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeService fake = new FakeService();
  private final DibsClient client = fake.client().session(false).build();
  private final CountDownLatch running = new CountDownLatch(1);
  private final CountDownLatch gate = new CountDownLatch(1);

  @AfterEach
  void close() {
    gate.countDown();
    client.close();
    fake.close();
  }

  /** A caller that has the lease, and rebuilds until the gate opens. */
  private CompletableFuture<String> holder() throws InterruptedException {
    return holder(TEXT, "old");
  }

  private CompletableFuture<String> holder(Options<String> options, String value) throws InterruptedException {
    CompletableFuture<String> call =
        client.getOrRebuildAsync(
            "k",
            options,
            () -> {
              running.countDown();
              gate.await();
              if (value == null) throw new IOException("away");
              return value;
            });
    running.await();
    return call;
  }

  private CompletableFuture<String> late(Options<String> options) {
    return client.getOrRebuildAsync("k", options, () -> "another");
  }

  private int asked() {
    return fake.requests(GetOrLockRequest.class).size();
  }

  private static FakeService.Answer published(int outcome, Boolean counts) {
    PublishResponse.Builder response = PublishResponse.newBuilder().setOutcomeValue(outcome);
    if (counts != null) response.setCounts(counts);
    return says(response.build());
  }

  @ParameterizedTest
  @CsvSource({"1", "2", "3"})
  void haveItsResultWhereThatIsStoredAndCounts(int outcome) throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), hit("new"));
    fake.will(PublishRequest.class, published(outcome, true));
    var first = holder();
    // Also with options of their own.
    var late = late(TEXT.maxWait(Duration.ofMinutes(2)).revalidate(Options.Revalidate.AWAIT));
    gate.countDown();
    assertEquals("old", first.get());
    assertEquals("old", late.get());
    assertEquals(1, asked());
  }

  @ParameterizedTest
  @CsvSource({"1, false", "1,", "3,", "4, true", "5, true", "6, true", "7, true", "99, true"})
  void askAgainWhereItDoesNotCountForThem(int outcome, Boolean counts) throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), hit("new"));
    fake.will(PublishRequest.class, published(outcome, counts));
    var first = holder();
    var late = late(TEXT);
    gate.countDown();
    assertEquals("old", first.get());
    assertEquals("new", late.get());
  }

  @Test
  void keepTheirOwnWait() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), NEVER);
    var first = holder();
    for (Duration wait : new Duration[] {Duration.ZERO, Duration.ofMillis(30)}) {
      var busy = assertThrows(ExecutionException.class, () -> late(TEXT.maxWait(wait)).get()).getCause();
      assertEquals(BusyReason.WAIT_ENDED, ((DibsBusyException) busy).reason());
      assertTrue(((DibsBusyException) busy).retryAfter().isPresent());
    }
    assertFalse(first.isDone());
    assertEquals(1, asked());
  }

  @Test
  void shareAFailureThatTheServiceTook() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), NEVER);
    var first = holder(TEXT, null);
    var late = late(TEXT);
    gate.countDown();
    assertEquals("away", assertThrows(ExecutionException.class, first::get).getCause().getMessage());
    assertEquals("away", assertThrows(ExecutionException.class, late::get).getCause().getMessage());
  }

  @Test
  void askAgainWhereTheFailureIsOfALeaseThatWasLost() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), hit("new"));
    fake.will(
        ReleaseRequest.class,
        says(ReleaseResponse.newBuilder().setOutcome(ReleaseOutcome.RELEASE_OUTCOME_NOT_HELD).build()));
    var first = holder(TEXT, null);
    var late = late(TEXT);
    gate.countDown();
    assertThrows(ExecutionException.class, first::get);
    assertEquals("new", late.get());
  }

  @Test
  void askForThemselvesWhereTheyWantWhatIsNewerThanTheirCall() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), hit("new"));
    holder();
    assertEquals("new", late(TEXT.read(Options.Read.STORE)).get());
    assertEquals("new", late(TEXT.refresh()).get());
    assertEquals(3, asked());
  }

  @Test
  void askForAStaleValueWhereThereIsOneAndElseJoin() throws Exception {
    fake.will(GetOrLockRequest.class, leaseWithPrevious("stale"), hit("stale"));
    fake.will(PublishRequest.class, published(1, true));
    holder(TEXT.revalidate(Options.Revalidate.AWAIT), "rebuilt");
    assertEquals("stale", late(TEXT).get());
    var strict = late(TEXT.stale(Options.Stale.FORBID));
    gate.countDown();
    assertEquals("rebuilt", strict.get());
    assertEquals(2, asked());
  }

  @ParameterizedTest
  @CsvSource({"key, true", "tag, true", "all, true", "key, false", "tag, false", "all, false", "other, true"})
  void doNotJoinAfterTheProcessHasInvalidated(String what, boolean isAnswered) throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), hit("new"));
    fake.will(PublishRequest.class, published(1, true));
    fake.will(
        InvalidateRequest.class,
        isAnswered
            ? says(InvalidateResponse.getDefaultInstance())
            : FakeService.refuses(Status.INTERNAL.withDescription("unknown")));
    holder();
    Invalidation invalidation =
        switch (what) {
          case "key" -> Invalidation.ofKeys("k");
          case "tag" -> Invalidation.ofTags("t");
          case "all" -> Invalidation.ofAll();
          default -> Invalidation.ofKeys("another", "key");
        };
    if (isAnswered) client.invalidate(invalidation);
    else assertThrows(DibsStatusException.class, () -> client.invalidate(invalidation));
    var late = late(TEXT);
    if (what.equals("other")) gate.countDown();
    assertEquals(what.equals("other") ? "old" : "new", late.get());
  }

  @Test
  void doNotJoinOnceTheResultIsOnItsWay() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), hit("new"));
    fake.will(PublishRequest.class, NEVER);
    holder();
    gate.countDown();
    Until.isTrue(() -> !fake.requests(PublishRequest.class).isEmpty());
    assertEquals("new", late(TEXT).get());
  }

  @Test
  void keepTheRebuildAliveWhenItsOwnCallerLeaves() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), NEVER);
    fake.will(PublishRequest.class, published(1, true));
    var first = holder();
    var late = late(TEXT);
    first.cancel(true);
    gate.countDown();
    assertEquals("old", late.get());
  }

  @Test
  void takeTheRebuildWithThemWhenAllLeave() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), NEVER);
    var first = holder();
    var late = late(TEXT);
    first.cancel(true);
    late.cancel(true);
    Until.isTrue(() -> !fake.requests(ReleaseRequest.class).isEmpty());
    assertFalse(fake.requests(ReleaseRequest.class).get(0).hasFailure());
  }

  @Test
  void makeARequestOfTheirOwnWhileOneIsUnderWay() throws Exception {
    fake.will(GetOrLockRequest.class, NEVER, hit("new"));
    late(TEXT);
    Until.isTrue(() -> asked() == 1);
    assertEquals("new", late(TEXT).get());
  }
}
