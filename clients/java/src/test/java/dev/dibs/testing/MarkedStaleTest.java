package dev.dibs.testing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.Cached;
import dev.dibs.Codec;
import dev.dibs.Freshness;
import dev.dibs.Invalidation;
import dev.dibs.Options;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** How long a value that was marked stale is served: as in the service. */
final class MarkedStaleTest {
  private static final Duration HALF = Duration.ofSeconds(5);
  private static final Options<String> OPTIONS =
      Options.of(Codec.UTF_8, Duration.ofMinutes(1)).staleTtl(HALF.multipliedBy(2)).tags("t");
  private static final Optional<Cached<String>> STALE = Optional.of(new Cached<>("v", Freshness.STALE));

  private final MemoryDibs dibs = new MemoryDibs();

  private void mark(Invalidation what) {
    dibs.invalidate(what.markingStale());
    dibs.advance(HALF);
  }

  @Test
  void isServedForItsStaleTimeFromTheFirstMark() {
    for (Invalidation what : List.of(Invalidation.ofKeys("k"), Invalidation.ofTags("t"), Invalidation.ofAll())) {
      dibs.set("k", "v", OPTIONS);
      mark(what);
      assertEquals(STALE, dibs.get("k", OPTIONS));
      mark(what);
      assertEquals(Optional.empty(), dibs.get("k", OPTIONS));
    }
  }

  @Test
  void countsAMarkDuringTheRebuild() {
    for (Invalidation what : List.of(Invalidation.ofTags("t"), Invalidation.ofAll())) {
      dibs.getOrRebuild("k", OPTIONS, rebuild -> {
        mark(what);
        assertFalse(rebuild.isLost());
        return "v";
      });
      assertEquals(STALE, dibs.get("k", OPTIONS));
      mark(what);
      assertEquals(Optional.empty(), dibs.get("k", OPTIONS));
    }
  }

  @Test
  void countsTheTagsThatTheRebuildNames() {
    dibs.getOrRebuild("k", OPTIONS, rebuild -> {
      mark(Invalidation.ofTags("t"));
      rebuild.tags("other");
      return "v";
    });
    assertEquals(Freshness.FRESH, dibs.get("k", OPTIONS).orElseThrow().freshness());
  }

  @Test
  void countsNoMarkBesideADeletionDuringTheRebuild() {
    dibs.getOrRebuild("k", OPTIONS, rebuild -> {
      mark(Invalidation.ofTags("t"));
      dibs.invalidate(Invalidation.ofTags("t"));
      return "v";
    });
    assertEquals(Optional.empty(), dibs.get("k", OPTIONS));
  }

  @Test
  void changesNoTimeOfAValueThatIsStaleAlready() {
    dibs.set("k", "v", OPTIONS);
    dibs.advance(OPTIONS.ttl().plus(HALF));
    dibs.invalidate(Invalidation.ofKeys("k").markingStale());
    dibs.advance(HALF.minusMillis(1));
    assertEquals(STALE, dibs.get("k", OPTIONS));
    dibs.advance(Duration.ofMillis(1));
    assertTrue(dibs.get("k", OPTIONS).isEmpty());
  }
}
