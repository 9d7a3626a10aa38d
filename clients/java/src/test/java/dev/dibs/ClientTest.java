package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a client returns on a real service, over a session and by calls one by one. */
final class ClientTest extends OnService {
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
    store(client, TEXT.staleTtl(Duration.ofMinutes(1)), "old");
    client.invalidate(Invalidation.ofKeys(key).markingStale());
    CountDownLatch gate = new CountDownLatch(1);
    AtomicInteger knew = new AtomicInteger();
    RebuildFunction<String, Exception> rebuild = lease -> {
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
    store(client, TEXT.staleTtl(Duration.ofMinutes(1)), "old");
    RebuildFunction<String, Exception> refreshed = lease -> lease.reason() == RebuildReason.REFRESH ? "new" : "";
    assertEquals("new", client.getOrRebuild(key, TEXT.refresh(), refreshed));
    assertEquals("new", client.getOrRebuild(key, TEXT.read(Options.Read.STORE), () -> "unused"));
    client.invalidate(Invalidation.ofKeys(key).markingStale());
    assertEquals("newer", client.getOrRebuild(key, TEXT.revalidate(Options.Revalidate.AWAIT), () -> "newer"));
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
    // Its source has answered, so its caller still gets it.
    assertEquals(3_000_000, client.getOrRebuild(Service.freshKey(), bytes, () -> new byte[3_000_000]).length);
    // After the call, where its publish had no answer in time and was repeated.
    Until.isTrue(() -> !hooks.of("not storable").isEmpty());
    assertEquals(List.of("not storable RESOURCE_EXHAUSTED"), hooks.of("not storable"));
    // The refusal was of that value only: the lease beside it still runs.
    gate.countDown();
    assertEquals("beside", beside.get());
    Until.isTrue(() -> explain(client).hasValue());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void invalidatesByTagAndAsAWhole(boolean session) throws Exception {
    DibsClient client = client(session);
    Options<String> tagged = TEXT.tags("tag").namespace("whole-" + session);
    store(client, tagged, "one");
    client.invalidateAsync(Invalidation.ofTags("tag").in("whole-" + session)).get();
    assertEquals("two", client.getOrRebuild(key, tagged.read(Options.Read.STORE), () -> "two"));
    client.invalidate(Invalidation.ofAll().in("whole-" + session));
    store(client, tagged.read(Options.Read.STORE), "three");
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
    store(client, TEXT.staleTtl(Duration.ofMinutes(1)), "a text");
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
