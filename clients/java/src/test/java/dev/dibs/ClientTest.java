package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.ExplainRequest;
import dev.dibs.v1.ExplainResponse;
import dev.dibs.v1.LeaseEnd;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a client does on a real service, over a session and by calls one by one. */
final class ClientTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static Service service;

  private final List<DibsClient> clients = new ArrayList<>();
  private final String key = Service.freshKey();

  private static final class SourceException extends Exception implements RetryAfter {
    private static final long serialVersionUID = 1L;

    SourceException(String message) {
      super(message);
    }

    @Override
    public Duration retryAfter() {
      return Duration.ofMinutes(1);
    }
  }

  @BeforeAll
  static void start() {
    service = Service.start();
  }

  @AfterAll
  static void stop() {
    service.close();
  }

  @AfterEach
  void close() {
    clients.forEach(DibsClient::close);
  }

  private DibsClient client(boolean session, Hooks hooks) {
    DibsClient client = service.client().session(session).hooks(hooks).holder("me").build();
    clients.add(client);
    return client;
  }

  private DibsClient client(boolean session) {
    return client(session, Hooks.NONE);
  }

  private ExplainResponse explain(DibsClient client) {
    return CoordinatorServiceGrpc.newBlockingStub(client.channel())
        .explain(ExplainRequest.newBuilder().setKey(key).build());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void rebuildsOnceForAllProcesses(boolean session) throws Exception {
    AtomicInteger rebuilds = new AtomicInteger();
    List<CompletableFuture<String>> all = new ArrayList<>();
    for (int process = 0; process < 3; process += 1) {
      DibsClient client = client(session);
      for (int call = 0; call < 20; call += 1) {
        all.add(
            client.getOrRebuildAsync(
                key,
                TEXT,
                () -> {
                  Thread.sleep(50);
                  return "v" + rebuilds.incrementAndGet();
                }));
      }
    }
    for (CompletableFuture<String> one : all) assertEquals("v1", one.get());
    assertEquals(1, rebuilds.get());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void tellsEmptyFromAbsent(boolean session) throws Exception {
    DibsClient client = client(session);
    String other = Service.freshKey();
    for (int time = 0; time < 2; time += 1) {
      assertEquals("", client.getOrRebuild(key, TEXT, () -> ""));
      assertNull(client.getOrRebuild(other, TEXT, () -> null));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void passesBytesUnchangedAndToEachHisOwn(boolean session) throws Exception {
    DibsClient client = client(session);
    Options<byte[]> bytes = Options.of(Codec.BYTES, Duration.ofMinutes(1));
    byte[] value = {0, -1, 127, -128};
    byte[] one = client.getOrRebuild(key, bytes, () -> value);
    byte[] two = client.getOrRebuild(key, bytes, () -> new byte[0]);
    one[0] = 1;
    assertArrayEquals(value, two);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void throwsItsOwnErrorAndTellsItsMessageToOthers(boolean session) {
    SourceException fault = new SourceException("the database is away");
    SourceException own =
        assertThrows(
            SourceException.class, () -> client(session).getOrRebuild(key, TEXT, () -> { throw fault; }));
    assertSame(fault, own);
    RebuildFailedException told =
        assertThrows(RebuildFailedException.class, () -> client(session).getOrRebuild(key, TEXT, () -> "never"));
    assertEquals("the database is away", told.getMessage());
    assertTrue(told.retryAfter().orElseThrow().toSeconds() > 30);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void servesStaleWhileItRebuilds(boolean session) throws Exception {
    Recorded hooks = new Recorded();
    DibsClient client = client(session, hooks);
    client.getOrRebuild(key, TEXT.staleTtl(Duration.ofMinutes(1)), () -> "old");
    client.invalidate(Invalidation.ofKeys(key).markingStale());
    CountDownLatch gate = new CountDownLatch(1);
    AtomicInteger knew = new AtomicInteger();
    RebuildFunction<String> rebuild = lease -> {
      if (lease.hasPrevious() && lease.previous().equals("old")) knew.incrementAndGet();
      gate.await();
      return "new";
    };
    assertEquals("old", client.getOrRebuild(key, TEXT, rebuild));
    assertEquals("old", client(session).getOrRebuild(key, TEXT, () -> "unused"));
    gate.countDown();
    Until.isTrue(() -> client.getOrRebuild(key, TEXT, () -> "unused").equals("new"));
    assertEquals(1, knew.get());
    assertTrue(hooks.events.contains("hit STALE") && hooks.events.contains("publish STORED"), hooks.events.toString());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void refreshesAndAwaitsWhereThatIsWanted(boolean session) throws Exception {
    DibsClient client = client(session);
    client.getOrRebuild(key, TEXT.staleTtl(Duration.ofMinutes(1)), () -> "old");
    RebuildFunction<String> refreshed = lease -> lease.reason() == RebuildReason.REFRESH ? "new" : "";
    assertEquals("new", client.getOrRebuild(key, TEXT.refresh(), refreshed));
    assertEquals("new", client.getOrRebuild(key, TEXT.read(Options.Read.STORE), () -> "unused"));
    client.invalidate(Invalidation.ofKeys(key).markingStale());
    assertEquals("newer", client.getOrRebuild(key, TEXT.revalidate(Options.Revalidate.AWAIT), () -> "newer"));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void doesNotWaitLongerThanItMay(boolean session) throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    DibsClient holder = client(session);
    CompletableFuture<String> held = holder.getOrRebuildAsync(key, TEXT, () -> {
      gate.await();
      return "v";
    });
    Until.isTrue(() -> explain(holder).hasLease());
    DibsBusyException busy =
        assertThrows(
            DibsBusyException.class,
            () -> client(session).getOrRebuild(key, TEXT.maxWait(Duration.ZERO), () -> "never"));
    assertEquals(BusyReason.WAIT_ENDED, busy.reason());
    assertTrue(busy.retryAfter().isPresent());
    gate.countDown();
    assertEquals("v", held.get());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void isToldOfALostLeaseAndAsksAgain(boolean session) throws Exception {
    Recorded hooks = new Recorded();
    DibsClient client = client(session, hooks);
    AtomicInteger runs = new AtomicInteger();
    AtomicBoolean wasLost = new AtomicBoolean();
    // By a session it is told at once; otherwise with the next extension.
    Options<String> options = TEXT.lease(session ? Duration.ofSeconds(30) : Duration.ofMillis(300));
    long startNanos = System.nanoTime();
    String value = client.getOrRebuild(key, options, lease -> {
      if (runs.incrementAndGet() > 1) return "anew";
      client.invalidate(Invalidation.ofKeys(key));
      try {
        new CountDownLatch(1).await();
      } finally {
        wasLost.set(lease.isLost());
      }
      return "never";
    });
    assertEquals("anew", value);
    // The caller has not waited for the rebuild that lost its lease.
    Until.isTrue(wasLost::get);
    assertTrue(System.nanoTime() - startNanos < TimeUnit.SECONDS.toNanos(5));
    assertTrue(hooks.events.contains("lease lost"));
  }

  @Test
  void returnsWhatItRebuiltAlsoWhereItIsNotStored() throws Exception {
    Recorded hooks = new Recorded();
    // Without a session nothing tells of the loss before the publish.
    DibsClient client = client(false, hooks);
    String value = client.getOrRebuild(key, TEXT, () -> {
      client.invalidate(Invalidation.ofKeys(key));
      return "mine";
    });
    assertEquals("mine", value);
    assertTrue(hooks.events.contains("publish INVALIDATED"), hooks.events.toString());
    assertFalse(explain(client).hasValue());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void givesTheLeaseBackWhenNobodyWaits(boolean session) throws Exception {
    DibsClient client = client(session);
    CountDownLatch interrupted = new CountDownLatch(1);
    RebuildFunction<String> rebuild = lease -> {
      try {
        new CountDownLatch(1).await();
      } catch (InterruptedException error) {
        interrupted.countDown();
        throw error;
      }
      return "never";
    };
    CompletableFuture<String> leaving = client.getOrRebuildAsync(key, TEXT, rebuild);
    CompletableFuture<String> staying = client.getOrRebuildAsync(key, TEXT, rebuild);
    Until.isTrue(() -> explain(client).hasLease());
    leaving.cancel(true);
    assertThrows(CancellationException.class, leaving::get);
    assertTrue(explain(client).hasLease());
    staying.orTimeout(1, TimeUnit.MILLISECONDS);
    assertEquals(TimeoutException.class, assertThrows(ExecutionException.class, staying::get).getCause().getClass());
    assertTrue(interrupted.await(10, TimeUnit.SECONDS));
    Until.isTrue(() -> explain(client).getPastLeasesCount() > 0);
    assertEquals(LeaseEnd.LEASE_END_RELEASED, explain(client).getPastLeases(0).getEnd());
    assertEquals("me", explain(client).getPastLeases(0).getHolder());
    // The thread that was interrupted works on.
    assertEquals("v", client.getOrRebuild(key, TEXT, () -> {
      Thread.sleep(1);
      return "v";
    }));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void leavesTheServicesQueueWithItsCaller(boolean session) throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    DibsClient holder = client(session);
    CompletableFuture<String> held = holder.getOrRebuildAsync(key, TEXT, () -> {
      gate.await();
      return "v";
    });
    Until.isTrue(() -> explain(holder).hasLease());
    AtomicBoolean isFlagged = new AtomicBoolean();
    Thread waiter = new Thread(() -> {
      DibsStatusException error =
          assertThrows(DibsStatusException.class, () -> client(session).getOrRebuild(key, TEXT, () -> "never"));
      assertEquals(io.grpc.Status.Code.CANCELLED, error.code());
      isFlagged.set(Thread.currentThread().isInterrupted());
    });
    waiter.start();
    Until.isTrue(() -> explain(holder).getWaiters() == 1);
    waiter.interrupt();
    Until.isTrue(() -> explain(holder).getWaiters() == 0);
    waiter.join();
    assertTrue(isFlagged.get());
    gate.countDown();
    assertEquals("v", held.get());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void saysWhichFieldIsWrong(boolean session) {
    DibsStatusException error =
        assertThrows(DibsStatusException.class, () -> client(session).getOrRebuild("", TEXT, () -> "never"));
    assertEquals(io.grpc.Status.Code.INVALID_ARGUMENT, error.code());
    assertTrue(error.getMessage().startsWith("key:"), error.getMessage());
    Options<String> tooShort = Options.of(Codec.UTF_8, Duration.ZERO);
    error = assertThrows(DibsStatusException.class, () -> client(session).getOrRebuild(key, tooShort, () -> "v"));
    assertTrue(error.getMessage().startsWith("ttl_ms:"), error.getMessage());
    assertThrows(NullPointerException.class, () -> client(session).getOrRebuild(null, TEXT, () -> "never"));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void fillsNoMessageBeyondItsBoundAndRefusesAValueByItself(boolean session) throws Exception {
    Recorded hooks = new Recorded();
    DibsClient client = client(session, hooks);
    Options<byte[]> bytes = Options.of(Codec.BYTES, Duration.ofMinutes(1));
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> beside = client.getOrRebuildAsync(key, TEXT, () -> {
      gate.await();
      return "beside";
    });
    List<CompletableFuture<byte[]>> all = new ArrayList<>();
    for (int at = 0; at < 20; at += 1) {
      byte[] value = new byte[300_000];
      Arrays.fill(value, (byte) at);
      all.add(client.getOrRebuildAsync(Service.freshKey(), bytes, () -> value));
    }
    for (int at = 0; at < 20; at += 1) assertEquals(at, all.get(at).get()[299_999]);
    String largest = Service.freshKey();
    client.getOrRebuild(largest, bytes, () -> new byte[1 << 20]);
    assertEquals(1 << 20, client.getOrRebuild(largest, bytes, () -> new byte[0]).length);
    // Its source has answered, so that its caller has it all the same.
    assertEquals(3_000_000, client.getOrRebuild(Service.freshKey(), bytes, () -> new byte[3_000_000]).length);
    assertEquals(List.of("not storable RESOURCE_EXHAUSTED"), hooks.of("not storable"));
    // The refusal was of that value only: the lease beside it still runs.
    gate.countDown();
    assertEquals("beside", beside.get());
    assertTrue(explain(client).hasValue());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void invalidatesByTagAndAsAWhole(boolean session) throws Exception {
    DibsClient client = client(session);
    Options<String> tagged = TEXT.tags("tag").namespace("whole-" + session);
    client.getOrRebuild(key, tagged, () -> "one");
    client.invalidate(Invalidation.ofTags("tag").in("whole-" + session));
    assertEquals("two", client.getOrRebuild(key, tagged.read(Options.Read.STORE), () -> "two"));
    client.invalidate(Invalidation.ofAll().in("whole-" + session));
    assertEquals("three", client.getOrRebuild(key, tagged.read(Options.Read.STORE), () -> "three"));
    assertEquals(
        new InvalidateResult(1, 0), client.invalidate(Invalidation.ofKeys(key).in("whole-" + session)));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void passesTheTraceOn(boolean session) throws Exception {
    DibsClient client = client(session);
    String trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    String seen = client.getOrRebuild(key, TEXT.traceparent(trace), () -> explain(client).getLease().getTraceparent());
    assertEquals(trace, seen);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void makesNoCallsAfterItsEndAndEndsThoseItHasMade(boolean session) throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    DibsClient holder = client(session);
    CompletableFuture<String> held = holder.getOrRebuildAsync(key, TEXT, () -> {
      gate.await();
      return "v";
    });
    Until.isTrue(() -> explain(holder).hasLease());
    DibsClient closing = client(session);
    CompletableFuture<String> waiting = closing.getOrRebuildAsync(key, TEXT, () -> "never");
    Until.isTrue(() -> explain(holder).getWaiters() == 1);
    closing.close();
    gate.countDown();
    assertEquals("v", waiting.get());
    assertEquals("v", held.get());
    DibsStatusException error =
        assertThrows(DibsStatusException.class, () -> closing.getOrRebuild(key, TEXT, () -> "never"));
    assertTrue(error.getMessage().contains("closed"));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void goesWithoutAServiceThatIsKilledAndFindsItAgain(boolean session) throws Exception {
    Recorded hooks = new Recorded();
    Service mortal = Service.start();
    try (DibsClient client = mortal.client().session(session).hooks(hooks).build()) {
      assertEquals("v", client.getOrRebuild(key, TEXT, () -> "v"));
      mortal.close();
      RebuildFunction<String> local = lease -> lease.reason() == RebuildReason.LOCAL ? "mine" : "";
      assertEquals("mine", client.getOrRebuild(key, TEXT, local));
      assertEquals("local rebuild", hooks.events.get(hooks.events.size() - 1));
      DibsStatusException error =
          assertThrows(
              DibsStatusException.class,
              () -> client.getOrRebuild(key, TEXT.onUnavailable(OnUnavailable.FAIL), () -> "never"));
      assertEquals(io.grpc.Status.Code.UNAVAILABLE, error.code());
      try (Service again = Service.start(mortal.target(), java.util.Map.of())) {
        long startNanos = System.nanoTime();
        Until.isTrue(
            () -> !client.getOrRebuild(Service.freshKey(), TEXT, lease -> lease.reason().name()).equals("LOCAL"));
        assertTrue(System.nanoTime() - startNanos < TimeUnit.SECONDS.toNanos(3));
        assertTrue(again.target().equals(mortal.target()));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void isNotHarmedByAHookThatThrows(boolean session) throws Exception {
    Hooks faulty = new Hooks() {
      @Override
      public void onHit(String namespace, String key, Freshness freshness) {
        throw new IllegalStateException("a counter is broken");
      }

      @Override
      public void onPublish(String namespace, String key, PublishOutcome outcome, long fence) {
        throw new AssertionError("another too");
      }
    };
    DibsClient client = client(session, faulty);
    for (int time = 0; time < 2; time += 1) assertEquals("v", client.getOrRebuild(key, TEXT, () -> "v"));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void knowsNoPreviousThatItsCodecCannotRead(boolean session) throws Exception {
    DibsClient client = client(session);
    client.getOrRebuild(key, TEXT.staleTtl(Duration.ofMinutes(1)), () -> "a text");
    client.invalidate(Invalidation.ofKeys(key).markingStale());
    Codec<Integer> numbers = new Codec<>() {
      @Override
      public byte[] encode(Integer value) {
        return value.toString().getBytes(StandardCharsets.UTF_8);
      }

      @Override
      public Integer decode(byte[] bytes) {
        return Integer.valueOf(new String(bytes, StandardCharsets.UTF_8));
      }
    };
    Options<Integer> number = Options.of(numbers, Duration.ofMinutes(1)).revalidate(Options.Revalidate.AWAIT);
    assertEquals(7, client.getOrRebuild(key, number, lease -> lease.hasPrevious() ? 0 : 7));
  }
}
