package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Many keys with an executor whose threads are all taken, or that takes no tasks any more. */
final class ExecutorTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final List<String> KEYS = List.of("a", "b");
  private static final RebuildManyFunction<String> NONE = (missing, rebuild) -> Map.of();

  private final FakeService fake = new FakeService();

  @BeforeEach
  void hits() {
    fake.will(GetOrLockManyRequest.class, (request, reply) -> {
      var hit = GetOrLockResponse.newBuilder().setHit(FakeService.hitOf("v"));
      for (String key : ((GetOrLockManyRequest) request).getKeysList()) {
        reply.onNext(GetOrLockManyResponse.newBuilder().setKey(key).setResponse(hit).build());
      }
      reply.onCompleted();
    });
  }

  @AfterEach
  void close() {
    fake.close();
  }

  private DibsClient client(Executor executor) {
    return fake.client().session(false).executor(executor).build();
  }

  /** As getOrRebuild, which needs no thread for a hit. */
  @Test
  void theOnlyThreadMayAskForManyKeys() throws Exception {
    ExecutorService one = Executors.newSingleThreadExecutor();
    try (DibsClient client = client(one)) {
      Map<String, String> both = one.submit(() -> client.getOrRebuildMany(KEYS, TEXT, NONE)).get();
      assertEquals(Map.of("a", "v", "b", "v"), both);
    } finally {
      one.shutdownNow();
    }
  }

  @Test
  void aCallEndsWhereTheExecutorTakesNothing() {
    Executor full = task -> { throw new RejectedExecutionException("full"); };
    try (DibsClient client = client(full)) {
      assertEquals(Map.of("a", "v", "b", "v"), client.getOrRebuildMany(KEYS, TEXT, NONE));
      var later = client.getOrRebuildManyAsync(KEYS, TEXT, NONE);
      var error = assertThrows(ExecutionException.class, later::get);
      assertInstanceOf(RejectedExecutionException.class, error.getCause());
    }
  }

  /** The caller's thread waits for its own steps, and can still leave. */
  @Test
  void anInterruptedCallerLeaves() throws Exception {
    fake.will(GetOrLockManyRequest.class, FakeService.NEVER);
    try (DibsClient client = client(Threads.REBUILDS)) {
      Thread caller = Thread.currentThread();
      Threads.REBUILDS.execute(() -> {
        try {
          Until.isTrue(() -> !fake.requests(GetOrLockManyRequest.class).isEmpty());
        } catch (Exception error) {
          throw new AssertionError(error);
        }
        caller.interrupt();
      });
      var error = assertThrows(DibsStatusException.class, () -> client.getOrRebuildMany(KEYS, TEXT, NONE));
      assertEquals("the caller was interrupted", error.getMessage());
      assertEquals(true, Thread.interrupted());
      Until.isTrue(() -> !fake.cancelled.isEmpty());
    }
  }
}
