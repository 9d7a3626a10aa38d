package dev.dibs.testing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.Cached;
import dev.dibs.Codec;
import dev.dibs.DibsManyException;
import dev.dibs.DibsStatusException;
import dev.dibs.Freshness;
import dev.dibs.InvalidateResult;
import dev.dibs.Invalidation;
import dev.dibs.Options;
import dev.dibs.RebuildFailedException;
import dev.dibs.ReentrantRebuildException;
import dev.dibs.RetryAfter;
import dev.dibs.Source;
import dev.dibs.SourceMany;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

final class MemoryDibsTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final Options<String> STALE = TEXT.staleTtl(Duration.ofMinutes(10));

  private final MemoryDibs dibs = new MemoryDibs();
  private final AtomicInteger rebuilds = new AtomicInteger();
  private final Source<String, RuntimeException> next = () -> "v" + rebuilds.incrementAndGet();

  @Test
  void keepsAValueForItsTtl() throws Exception {
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
    dibs.advance(Duration.ofSeconds(59));
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
    dibs.advance(Duration.ofSeconds(1));
    assertEquals("v2", dibs.getOrRebuild("k", TEXT, next));
    assertEquals("v3", dibs.getOrRebuild("k", TEXT.refresh(), next));
    assertEquals("v4", dibs.getOrRebuild("k", TEXT.namespace("other"), next));
  }

  @Test
  void keepsTheKnowledgeThatThereIsNothing() throws Exception {
    Options<String> options = TEXT.absentTtl(Duration.ofSeconds(5));
    assertNull(dibs.getOrRebuild("k", options, () -> null));
    assertNull(dibs.getOrRebuild("k", options, next));
    dibs.advance(Duration.ofSeconds(5));
    assertEquals("v1", dibs.getOrRebuild("k", options, next));
  }

  @Test
  void servesStaleOnceTheRebuildBehindItHasEnded() throws Exception {
    dibs.getOrRebuild("k", STALE, next);
    dibs.advance(Duration.ofMinutes(2));
    assertEquals("v1", dibs.getOrRebuild("k", STALE, lease -> lease.previous() + ", then v2"));
    assertEquals("v1, then v2", dibs.getOrRebuild("k", STALE, next));
    dibs.invalidate(Invalidation.ofKeys("k").markingStale());
    assertEquals("v2", dibs.getOrRebuild("k", STALE.stale(Options.Stale.FORBID), next));
  }

  @Test
  void invalidatesByKeyTagAndAsAWhole() throws Exception {
    dibs.getOrRebuild("k", TEXT.tags("t"), next);
    assertEquals(new InvalidateResult(1, 0), dibs.invalidate(Invalidation.ofKeys("k")));
    assertEquals("v2", dibs.getOrRebuild("k", TEXT.tags("t"), next));
    dibs.invalidate(Invalidation.ofTags("t"));
    assertEquals("v3", dibs.getOrRebuild("k", TEXT, next));
    dibs.invalidate(Invalidation.ofAll());
    assertEquals("v4", dibs.getOrRebuild("k", TEXT, next));
    dibs.invalidate(Invalidation.ofAll().in("other"));
    assertEquals("v4", dibs.getOrRebuild("k", TEXT, next));
  }

  @Test
  void doesNotStoreWhatWasInvalidatedMeanwhile() throws Exception {
    String mine = dibs.getOrRebuild("k", TEXT, lease -> {
      assertEquals(new InvalidateResult(0, 1), dibs.invalidate(Invalidation.ofKeys("k")));
      return lease.isLost() ? "mine" : "not told";
    });
    assertEquals("mine", mine);
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
  }

  @Test
  void joinsThoseWhoComeMeanwhile() throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> one = dibs.getOrRebuildAsync("k", TEXT, () -> {
      running.countDown();
      gate.await();
      return next.read();
    });
    running.await();
    CompletableFuture<String> two = dibs.getOrRebuildAsync("k", TEXT, next);
    gate.countDown();
    assertEquals("v1", one.get());
    assertEquals("v1", two.get());
  }

  @Test
  void throwsTheOwnErrorAndTellsTheMessageWhileTheBackOffRuns() throws Exception {
    Exception fault = new Exception("away");
    assertSame(fault, assertThrows(Exception.class, () -> dibs.getOrRebuild("k", TEXT, () -> { throw fault; })));
    var told = assertThrows(RebuildFailedException.class, () -> dibs.getOrRebuild("k", TEXT, next));
    assertEquals("away", told.getMessage());
    assertEquals(Duration.ofSeconds(1), told.retryAfter().orElseThrow());
    dibs.advance(Duration.ofSeconds(1));
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
  }

  @Test
  void servesAStaleValueWithoutARebuildWhileTheBackOffRunsAndARefreshEndsIt() throws Exception {
    Options<String> forbids = STALE.stale(Options.Stale.FORBID);
    dibs.set("k", "old", STALE);
    dibs.advance(Duration.ofMinutes(1));
    assertEquals("old", dibs.getOrRebuild("k", STALE, () -> { throw new IllegalStateException("away"); }));
    for (Options<String> allows : List.of(STALE, STALE.revalidate(Options.Revalidate.AWAIT))) {
      assertEquals("old", dibs.getOrRebuild("k", allows, next));
    }
    assertThrows(RebuildFailedException.class, () -> dibs.getOrRebuild("k", forbids, next));
    assertEquals(0, rebuilds.get());
    assertEquals("v1", dibs.getOrRebuild("k", forbids.refresh(), next));
    assertEquals("v1", dibs.getOrRebuild("k", forbids, next));
  }

  @Test
  void isOverWhenItIsClosed() {
    dibs.close();
    assertThrows(DibsStatusException.class, () -> dibs.getOrRebuild("k", TEXT, next));
  }

  @Test
  void keepsToWhatARebuildSaysOfItsValue() throws Exception {
    assertEquals("v1", dibs.getOrRebuild("k", TEXT.tags("call"), rebuild -> {
      rebuild.ttl(Duration.ofSeconds(5));
      rebuild.staleTtl(Duration.ofSeconds(5));
      rebuild.tags("value");
      return next.read();
    }));
    dibs.invalidate(Invalidation.ofTags("call"));
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
    dibs.advance(Duration.ofSeconds(6));
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
    dibs.invalidate(Invalidation.ofTags("value"));
    dibs.invalidate(Invalidation.ofAll());
    assertEquals("v3", dibs.getOrRebuild("k", TEXT, rebuild -> {
      rebuild.doNotStore();
      return next.read();
    }));
    assertEquals("v4", dibs.getOrRebuild("k", TEXT, next));
  }

  @Test
  void refusesARebuildThatAsksForItself() throws Exception {
    assertThrows(
        ReentrantRebuildException.class,
        () -> dibs.getOrRebuild("k", TEXT, () -> dibs.getOrRebuild("k", TEXT, next)));
    assertEquals("v1", dibs.getOrRebuild("l", TEXT, () -> dibs.getOrRebuild("m", TEXT, next)));
  }

  @Test
  void readsAndSetsWithoutARebuild() {
    assertEquals(Optional.empty(), dibs.get("k", STALE));
    assertTrue(dibs.set("k", "v", STALE).isStored());
    assertEquals(Optional.of(new Cached<>("v", Freshness.FRESH)), dibs.get("k", STALE));
    dibs.advance(Duration.ofMinutes(2));
    assertEquals(Optional.of(new Cached<>("v", Freshness.STALE)), dibs.get("k", STALE));
    assertEquals(Optional.empty(), dibs.get("k", STALE.stale(Options.Stale.FORBID)));
    dibs.set("k", null, STALE);
    assertTrue(dibs.get("k", STALE).orElseThrow().isAbsent());
    assertThrows(
        ReentrantRebuildException.class,
        () -> dibs.getOrRebuild("l", TEXT, () -> dibs.set("l", "inner", TEXT).outcome().name()));
  }

  @Test
  void rebuildsManyByOneCall() {
    dibs.set("there", "v", TEXT);
    List<List<String>> asked = new ArrayList<>();
    Map<String, String> expected = new HashMap<>(Map.of("there", "v", "k", "of k"));
    expected.put("gone", null);
    for (int time = 0; time < 2; time += 1) {
      Map<String, String> values =
          dibs.getOrRebuildMany(
              List.of("k", "there", "gone", "k"),
              TEXT,
              keys -> {
                asked.add(keys);
                return Map.of("k", "of k");
              });
      assertEquals(expected, values);
    }
    assertEquals(List.of(List.of("k", "gone")), asked);
  }

  @Test
  void tellsTheFailureOfManyByKey() {
    dibs.set("there", "v", TEXT);
    Exception fault = new Exception("away");
    SourceMany<String> source = keys -> { throw fault; };
    var many =
        assertThrows(DibsManyException.class, () -> dibs.getOrRebuildMany(List.of("k", "there"), TEXT, source));
    assertEquals(Map.of("k", fault), many.errors());
    assertEquals(Map.of("there", "v"), many.values());
    assertThrows(RebuildFailedException.class, () -> dibs.getOrRebuild("k", TEXT, next));
  }

  @Test
  void goesOnWhereARebuildOfManyReturnsNoMap() throws Exception {
    SourceMany<String> none = keys -> null;
    var many = assertThrows(DibsManyException.class, () -> dibs.getOrRebuildMany(List.of("k"), TEXT, none));
    assertEquals("the rebuild returned null: return a map of values by key", many.getCause().getMessage());
    dibs.advance(Duration.ofSeconds(1));
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
  }

  /** Its message and its retryAfter are user code. */
  private static final class Broken extends RuntimeException implements RetryAfter {
    private static final long serialVersionUID = 1L;

    @Override
    public String getMessage() {
      throw new IllegalStateException("no message");
    }

    @Override
    public Duration retryAfter() {
      throw new IllegalStateException("no time");
    }
  }

  @Test
  void goesOnWhereAnExceptionCannotBeRead() throws Exception {
    try {
      dibs.getOrRebuild("k", TEXT, () -> { throw new Broken(); });
    } catch (Broken error) {
      // As expected, and without a look at its message.
    }
    assertThrows(RebuildFailedException.class, () -> dibs.getOrRebuild("k", TEXT, next));
    dibs.advance(Duration.ofSeconds(1));
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
  }

  /** A rebuild of {@code k} that runs until the gate opens, and then names its tags, if any. */
  private CompletableFuture<String> rebuilding(CountDownLatch gate, String... tags) throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CompletableFuture<String> old = dibs.getOrRebuildAsync("k", TEXT, rebuild -> {
      running.countDown();
      gate.await();
      if (tags.length > 0) rebuild.tags(tags);
      return "old";
    });
    running.await();
    return old;
  }

  @Test
  void letsNoCallerJoinARebuildFromBeforeAnInvalidation() throws Exception {
    for (Invalidation what : List.of(Invalidation.ofKeys("k"), Invalidation.ofAll().markingStale())) {
      CountDownLatch gate = new CountDownLatch(1);
      CompletableFuture<String> old = rebuilding(gate);
      dibs.invalidate(what);
      CompletableFuture<String> later = dibs.getOrRebuildAsync("k", TEXT, () -> "new");
      CompletableFuture<Map<String, String>> many =
          dibs.getOrRebuildManyAsync(List.of("k"), TEXT, (keys, leases) -> Map.of("k", "new"));
      gate.countDown();
      assertEquals("old", old.get());
      assertEquals("new", later.get());
      assertEquals(Map.of("k", "new"), many.get());
      assertEquals("new", dibs.getOrRebuild("k", TEXT, next));
      dibs.invalidate(Invalidation.ofAll());
    }
  }

  /** A rebuild may name its value's tags when it ends. */
  @Test
  void doesNotStoreWhatHasATagThatWasInvalidatedMeanwhile() throws Exception {
    for (boolean isJoined : List.of(false, true)) {
      CountDownLatch gate = new CountDownLatch(1);
      CompletableFuture<String> old = rebuilding(gate, "t");
      dibs.invalidate(Invalidation.ofTags("t"));
      if (isJoined) assertEquals("new", dibs.getOrRebuildAsync("k", TEXT, () -> "new").get(30, TimeUnit.SECONDS));
      gate.countDown();
      assertEquals("old", old.get());
      assertEquals("new", dibs.getOrRebuild("k", TEXT, () -> "new"));
      dibs.invalidate(Invalidation.ofAll());
    }
  }

  @Test
  void keepsWhatIsSetBesideARebuildFromBeforeAnInvalidation() throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> old = rebuilding(gate);
    dibs.invalidate(Invalidation.ofTags("t"));
    assertTrue(dibs.setAsync("k", "set", TEXT).get(30, TimeUnit.SECONDS).isStored());
    gate.countDown();
    assertEquals("old", old.get());
    assertEquals("set", dibs.getOrRebuild("k", TEXT, next));
  }

  /** As in the service. */
  @Test
  void endsTheBackOffOfWhatIsInvalidated() throws Exception {
    for (Invalidation what : List.of(Invalidation.ofKeys("k"), Invalidation.ofAll(), Invalidation.ofTags("t"))) {
      assertThrows(Exception.class, () -> dibs.getOrRebuild("k", TEXT, () -> { throw new Exception("away"); }));
      dibs.invalidate(what);
      if (what.tags().isEmpty()) assertEquals("v", dibs.getOrRebuild("k", TEXT, () -> "v"));
      else assertThrows(RebuildFailedException.class, () -> dibs.getOrRebuild("k", TEXT, next));
      dibs.invalidate(Invalidation.ofAll());
    }
  }

  @Test
  void rebuildsWhatTheCodecCannotRead() throws Exception {
    Options<Long> numbers = Options.of(Long.class, Duration.ofMinutes(1)).staleTtl(Duration.ofMinutes(10));
    dibs.set("k", "no number", STALE);
    assertEquals(1L, dibs.getOrRebuild("k", numbers, lease -> lease.hasPrevious() ? 0L : 1L));
    dibs.set("k", "no number", STALE);
    dibs.advance(Duration.ofMinutes(2));
    assertEquals(2L, dibs.getOrRebuild("k", numbers, lease -> lease.hasPrevious() ? 0L : 2L));
    dibs.set("k", "no number", STALE);
    assertEquals(Map.of("k", 3L), dibs.getOrRebuildMany(List.of("k"), numbers, keys -> Map.of("k", 3L)));
    assertEquals(3L, dibs.getOrRebuild("k", numbers, () -> 4L));
  }

  /** As in the service, whose default has a name. */
  @Test
  void knowsTheDefaultNamespaceByItsName() throws Exception {
    assertEquals("v1", dibs.getOrRebuild("k", TEXT, next));
    assertEquals("v1", dibs.getOrRebuild("k", TEXT.namespace("default"), next));
    dibs.invalidate(Invalidation.ofKeys("k").in("default"));
    assertEquals("v2", dibs.getOrRebuild("k", TEXT, next));
  }
}
