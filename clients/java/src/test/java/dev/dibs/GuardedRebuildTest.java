package dev.dibs;

import static dev.dibs.FakeService.LOST;
import static dev.dibs.FakeService.NEVER;
import static dev.dibs.FakeService.busy;
import static dev.dibs.FakeService.hit;
import static dev.dibs.FakeService.lease;
import static dev.dibs.FakeService.leaseWithPrevious;
import static dev.dibs.FakeService.refuses;
import static dev.dibs.FakeService.says;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.InvalidateRequest;
import dev.dibs.v1.InvalidateResponse;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.ReleaseRequest;
import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a user's code and options may do, and the caller and the lease are none the worse for. */
final class GuardedRebuildTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  /** The longest that there is, which has more milliseconds than a long. */
  private static final Duration FOREVER = Duration.ofSeconds(Long.MAX_VALUE);

  private final FakeService fake = new FakeService();
  private final Recorded hooks = new Recorded();
  private final CountDownLatch gate = new CountDownLatch(1);
  private DibsClient client = fake.client().session(false).hooks(hooks).build();

  @AfterEach
  void close() {
    gate.countDown();
    client.close();
    fake.close();
  }

  private static final class MuteException extends Exception implements RetryAfter {
    private static final long serialVersionUID = 1L;

    @Override
    public String getMessage() {
      throw new IllegalStateException("not even this");
    }

    @Override
    public String toString() {
      throw new IllegalStateException("nor that");
    }

    @Override
    public Duration retryAfter() {
      throw new IllegalStateException("nor when");
    }
  }

  @Test
  void anErrorThatCannotBeReadIsItsCallersAndGivesTheLeaseBack() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    MuteException fault = new MuteException();
    assertSame(fault, assertThrows(MuteException.class, () -> client.getOrRebuild("k", TEXT, () -> { throw fault; })));
    var call = client.getOrRebuildAsync("k", TEXT, () -> { throw fault; });
    assertSame(fault, assertThrows(ExecutionException.class, call::get).getCause().getCause());
    ReleaseRequest release = fake.requests(ReleaseRequest.class).get(0);
    assertTrue(release.getFailure().getMessage().contains("MuteException"), release.toString());
  }

  @Test
  void timesOutOfBoundsAreRefusedBeforeAnythingIsSent() {
    List<Options<String>> broken =
        List.of(
            Options.of(Codec.UTF_8, FOREVER),
            Options.of(Codec.UTF_8, Duration.ZERO),
            Options.of(Codec.UTF_8, Duration.ofDays(366)),
            TEXT.staleTtl(Duration.ofNanos(-1)),
            TEXT.staleTtl(FOREVER),
            TEXT.absentTtl(Duration.ZERO),
            TEXT.maxWait(Duration.ofMillis(-1)),
            TEXT.maxWait(FOREVER),
            TEXT.lease(FOREVER),
            TEXT.leaseHoldMax(Duration.ZERO),
            TEXT.tags(""),
            TEXT.tags("\ud800"),
            TEXT.tags("x".repeat(257)),
            TEXT.tags(IntStream.range(0, 17).mapToObj(String::valueOf).toArray(String[]::new)),
            TEXT.namespace("\udc00"));
    for (Options<String> options : broken) {
      DibsStatusException error =
          assertThrows(DibsStatusException.class, () -> client.getOrRebuild("k", options, () -> "never"));
      assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
      var call = client.getOrRebuildAsync("k", options, () -> "never");
      assertThrows(ExecutionException.class, call::get);
    }
    assertEquals(List.of(), fake.heard);
  }

  @Test
  void lessThanAMillisecondIsOne() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    client.getOrRebuild("k", Options.of(Codec.UTF_8, Duration.ofNanos(1)), () -> "v");
    assertEquals(1, fake.requests(PublishRequest.class).get(0).getTtlMs());
  }

  @Test
  void aRebuildSaysOfItsValueWhatTheCallDoesNotKnow() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    client.getOrRebuild("k", TEXT.tags("call"), rebuild -> {
      rebuild.ttl(Duration.ofSeconds(5));
      rebuild.staleTtl(Duration.ofSeconds(6));
      rebuild.tags("value");
      return "v";
    });
    PublishRequest publish = fake.requests(PublishRequest.class).get(0);
    assertEquals(5_000, publish.getTtlMs());
    assertEquals(6_000, publish.getStaleMs());
    assertEquals(List.of("value"), publish.getTagsList());
  }

  @Test
  void aValueWhoseOwnTermsAreBrokenIsItsCallersAndIsNotSent() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    assertEquals("v", client.getOrRebuild("k", TEXT, rebuild -> {
      rebuild.ttl(FOREVER);
      return "v";
    }));
    assertEquals(List.of("not storable INVALID_ARGUMENT"), hooks.events);
    assertTrue(fake.requests(PublishRequest.class).isEmpty());
    assertTrue(fake.requests(ReleaseRequest.class).get(0).hasFailure());
  }

  @Test
  void aValueThatIsNotToBeStoredIsItsCallersAndNoFailure() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    assertEquals("v", client.getOrRebuild("k", TEXT, rebuild -> {
      rebuild.doNotStore();
      return "v";
    }));
    assertTrue(fake.requests(PublishRequest.class).isEmpty());
    assertFalse(fake.requests(ReleaseRequest.class).get(0).hasFailure());
  }

  @Test
  void aRebuildThatAsksForItselfFailsAtOnce() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    Exception direct =
        assertThrows(
            ReentrantRebuildException.class,
            () -> client.getOrRebuild("k", TEXT, () -> client.getOrRebuild("k", TEXT, () -> "never")));
    assertEquals("dibs: the rebuild of \"k\" asks for \"k\" itself", direct.getMessage());
    assertThrows(
        ReentrantRebuildException.class,
        () ->
            client.getOrRebuild(
                "k",
                TEXT,
                () -> client.getOrRebuild("l", TEXT, () -> client.getOrRebuild("k", TEXT, () -> "never"))));
    // The same key elsewhere is another one.
    assertEquals(
        "v", client.getOrRebuild("k", TEXT, () -> client.getOrRebuild("k", TEXT.namespace("x"), () -> "v")));
  }

  @Test
  void aRebuildBehindMayAskForWhatHasBegunIt() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000), leaseWithPrevious("old"), hit("seen"));
    CompletableFuture<String> inner = new CompletableFuture<>();
    assertEquals("old", client.getOrRebuild("outer", TEXT, () ->
        client.getOrRebuild("inner", TEXT, () -> {
          inner.complete(client.getOrRebuild("outer", TEXT.read(Options.Read.STORE), () -> "never"));
          return "v";
        })));
    assertEquals("seen", inner.get(10, TimeUnit.SECONDS));
  }

  @Test
  void aLostLeaseEndsTheWaitForItsRebuildWhateverThatDoes() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 1_500), hit("theirs"));
    fake.will(ExtendRequest.class, says(LOST));
    assertEquals("theirs", client.getOrRebuild("k", TEXT, this::deaf));
    gate.countDown();
    Until.isTrue(() -> hooks.events.contains("lease lost"));
    assertTrue(fake.requests(PublishRequest.class).isEmpty());
  }

  /** Does not hear that it is interrupted. */
  private String deaf() {
    for (; ; ) {
      try {
        gate.await();
        return "late";
      } catch (InterruptedException error) {
        // It goes on.
      }
    }
  }

  @Test
  void aLeaseIsNotHeldForEver() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 60_000), hit("theirs"));
    assertEquals("theirs", client.getOrRebuild("k", TEXT.leaseHoldMax(Duration.ofMillis(50)), this::deaf));
    Until.isTrue(() -> !fake.requests(ReleaseRequest.class).isEmpty());
    assertFalse(fake.requests(ReleaseRequest.class).get(0).hasFailure());
    assertTrue(fake.requests(ExtendRequest.class).isEmpty());
  }

  @Test
  void anExecutorThatIsFilledByItsCallersEndsTheirWait() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 60_000));
    ExecutorService one = Executors.newSingleThreadExecutor();
    try (DibsClient filled = fake.client().session(false).executor(one).build()) {
      assertTrue(filled.ready(Until.PATIENCE));
      Options<String> brief = TEXT.maxWait(Duration.ofMillis(10));
      var call = one.submit(() -> filled.getOrRebuild("k", brief, () -> "never"));
      Throwable error = assertThrows(ExecutionException.class, call::get).getCause();
      assertTrue(error.getMessage().startsWith("executor:"), error.getMessage());
      assertFalse(fake.requests(ReleaseRequest.class).get(0).hasFailure());
    } finally {
      one.shutdownNow();
    }
  }

  @Test
  void aStaleValueIsBetterThanAnErrorWhereThatIsWanted() throws Exception {
    fake.will(GetOrLockRequest.class, leaseWithPrevious("old"));
    Options<String> awaiting = TEXT.revalidate(Options.Revalidate.AWAIT);
    assertThrows(IOException.class, () -> client.getOrRebuild("k", awaiting, () -> { throw new IOException("away"); }));
    assertEquals("old", client.getOrRebuild("k", awaiting.staleIfError(), () -> { throw new IOException("away"); }));
    assertEquals(List.of("background error: away"), hooks.of("background error"));
  }

  @Test
  void aValueThatTheCodecCannotReadIsAMissOnce() throws Exception {
    Codec<String> strict = new Codec<>() {
      @Override
      public byte[] encode(String value) {
        return Codec.UTF_8.encode(value);
      }

      @Override
      public String decode(byte[] bytes) {
        String text = Codec.UTF_8.decode(bytes);
        if (text.startsWith("old")) throw new IllegalStateException("of another version");
        return text;
      }
    };
    Options<String> options = Options.of(strict, Duration.ofMinutes(1));
    fake.will(GetOrLockRequest.class, hit("old"), lease("t", 10_000));
    assertEquals("new", client.getOrRebuild("k", options, () -> "new"));
    assertEquals(dev.dibs.v1.Intent.INTENT_REFRESH, fake.requests(GetOrLockRequest.class).get(1).getIntent());
    fake.will(GetOrLockRequest.class, hit("old"), lease("t", 10_000));
    assertEquals("new", client.getOrRebuildAsync("k", options, () -> "new").get());
    assertEquals(2, hooks.of("undecodable").size());
    fake.will(GetOrLockRequest.class, hit("old"), hit("old too"));
    assertThrows(IllegalStateException.class, () -> client.getOrRebuild("k", options, () -> "never"));
  }

  @Test
  void aWaitBeyondTheServicesLongestIsAskedForInPieces() throws Exception {
    fake.will(GetOrLockRequest.class, busy(60_000, 1), busy(60_000, 1), hit("v"));
    assertEquals("v", client.getOrRebuild("k", TEXT.maxWait(Duration.ofMinutes(10)), () -> "never"));
    assertTrue(fake.requests(GetOrLockRequest.class).stream().noneMatch(GetOrLockRequest::hasWaitMs));
    fake.will(
        GetOrLockRequest.class,
        refuses(Status.INVALID_ARGUMENT.withDescription("wait_ms: 20000 is outside 0 to 500")),
        busy(60_000, 1),
        hit("v"));
    assertEquals("v", client.getOrRebuild("k", TEXT.maxWait(Duration.ofSeconds(20)), () -> "never"));
    List<GetOrLockRequest> asked = fake.requests(GetOrLockRequest.class);
    assertTrue(asked.get(3).hasWaitMs() && !asked.get(4).hasWaitMs() && !asked.get(5).hasWaitMs());
  }

  @Test
  void aWaitInPiecesOutlastsARebuildThatTakesLongerThanAPiece() throws Exception {
    fake.will(GetOrLockRequest.class, busy(1, 2), hit("v"));
    assertEquals("v", client.getOrRebuild("k", TEXT.maxWait(Duration.ofMinutes(10)), () -> "never"));
  }

  @Test
  void anInvalidationOfNothingAsksNobodyAndALongOneIsSplit() {
    fake.will(
        InvalidateRequest.class, says(InvalidateResponse.newBuilder().setKeysInvalidated(2).build()));
    assertEquals(new InvalidateResult(0, 0), client.invalidate(Invalidation.ofKeys()));
    assertEquals(List.of(), fake.heard);
    String[] keys = IntStream.range(0, 2_001).mapToObj(String::valueOf).toArray(String[]::new);
    assertEquals(new InvalidateResult(6, 0), client.invalidate(Invalidation.ofKeys(keys)));
    assertEquals(
        List.of(1_000, 1_000, 1),
        fake.requests(InvalidateRequest.class).stream().map(InvalidateRequest::getKeysCount).toList());
    assertThrows(DibsStatusException.class, () -> client.invalidate(Invalidation.ofKeys("\ud800")));
    assertThrows(DibsStatusException.class, () -> client.invalidate(Invalidation.ofTags("\ud800")));
  }

  @Test
  void aFlushWaitsForWhatGoesOnBehind() throws Exception {
    assertTrue(client.flush(Duration.ZERO));
    fake.will(GetOrLockRequest.class, leaseWithPrevious("old"));
    assertEquals("old", client.getOrRebuild("k", TEXT, this::deaf));
    assertFalse(client.flush(Duration.ofMillis(1)));
    gate.countDown();
    assertTrue(client.flush(Until.PATIENCE));
    assertEquals(1, fake.requests(PublishRequest.class).size());
  }

  @Test
  void aTextThatIsNoneIsNotStored() {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    assertThrows(IllegalArgumentException.class, () -> client.getOrRebuild("k", TEXT, () -> "half \ud83d"));
    assertThrows(IllegalArgumentException.class, () -> Codec.UTF_8.decode(new byte[] {-1}));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void whatThePublishWasToldIsToldOn(boolean maybe) throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    fake.will(
        PublishRequest.class,
        says(dev.dibs.v1.PublishResponse.newBuilder().setOutcomeValue(7).setMaybeStored(maybe).build()));
    CompletableFuture<Published> told = new CompletableFuture<>();
    Hooks listener = new Hooks() {
      @Override
      public void onPublish(String namespace, String key, Published published) {
        told.complete(published);
      }
    };
    try (DibsClient listened = fake.client().session(false).hooks(listener).build()) {
      listened.getOrRebuild("k", TEXT, () -> "v");
    }
    assertEquals(maybe, told.get(10, TimeUnit.SECONDS).maybeStored());
    assertTrue(told.get().counts().isEmpty());
  }
}
