package dev.dibs.testing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.dibs.Codec;
import dev.dibs.Invalidation;
import dev.dibs.Options;
import dev.dibs.Published;
import dev.dibs.RebuildFailedException;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Rebuilds that fail, as in the service. */
final class MemoryFailuresTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final MemoryDibs dibs = new MemoryDibs();
  private final CountDownLatch gate = new CountDownLatch(1);

  /** A rebuild of {@code k} that fails when the gate opens. */
  private CompletableFuture<String> failing() throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CompletableFuture<String> call = dibs.getOrRebuildAsync("k", TEXT, () -> {
      running.countDown();
      gate.await();
      throw new IOException("away");
    });
    running.await();
    return call;
  }

  @Test
  void areThoseOfASetAndOfARefreshThatWaited() throws Exception {
    CompletableFuture<String> old = failing();
    CompletableFuture<Published> set = dibs.setAsync("k", "set", TEXT);
    CompletableFuture<String> refresh = dibs.getOrRebuildAsync("k", TEXT.refresh(), () -> "never");
    TimeUnit.MILLISECONDS.sleep(100);
    gate.countDown();
    assertInstanceOf(IOException.class, assertThrows(ExecutionException.class, old::get).getCause());
    for (CompletableFuture<?> waited : List.of(set, refresh)) {
      var error = assertThrows(ExecutionException.class, waited::get).getCause();
      RebuildFailedException failed = assertInstanceOf(RebuildFailedException.class, error);
      assertEquals("away", failed.getMessage());
      assertEquals(Duration.ofSeconds(1), failed.retryAfter().orElseThrow());
    }
  }

  @Test
  void areNotThoseOfASetThatWaitedIfTheKeyWasInvalidated() throws Exception {
    CompletableFuture<String> old = failing();
    CompletableFuture<Published> set = dibs.setAsync("k", "set", TEXT);
    TimeUnit.MILLISECONDS.sleep(100);
    dibs.invalidate(Invalidation.ofKeys("k"));
    gate.countDown();
    assertThrows(ExecutionException.class, old::get);
    assertEquals(true, set.get().isStored());
    assertEquals("set", dibs.getOrRebuild("k", TEXT, () -> "never"));
  }

  @Test
  void leaveTheStaleValueToACallThatTakesIt() throws Exception {
    Options<String> awaits = TEXT.staleTtl(Duration.ofMinutes(10)).revalidate(Options.Revalidate.AWAIT);
    RuntimeException fault = new IllegalStateException("away");
    dibs.set("k", "old", awaits);
    dibs.advance(Duration.ofMinutes(2));
    assertEquals("old", dibs.getOrRebuild("k", awaits.staleIfError(), () -> { throw fault; }));
    for (Options<String> options : List.of(awaits, awaits.staleIfError().stale(Options.Stale.FORBID))) {
      dibs.advance(Duration.ofSeconds(1));
      assertSame(
          fault, assertThrows(RuntimeException.class, () -> dibs.getOrRebuild("k", options, () -> { throw fault; })));
    }
  }
}
