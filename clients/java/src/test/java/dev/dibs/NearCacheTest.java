package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Tags;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a near cache may serve, by a clock that a test moves. */
final class NearCacheTest {
  private static final FullKey KEY = FullKey.of("", "k");

  /** Near its greatest number, beyond which it goes on with the smallest. */
  private final AtomicLong nowNanos = new AtomicLong(Long.MAX_VALUE - 1_000);

  private final NearCache near = new NearCache(1 << 20, List.of(""), true, nowNanos::get);

  private Watch watch;

  @BeforeEach
  void begin() {
    watch = near.watch();
    near.welcomed(watch);
  }

  /** The session ends. */
  private void end() {
    near.ended(watch);
  }

  private void pass(long ms) {
    nowNanos.addAndGet(Duration.ofMillis(ms).toNanos());
  }

  private static Hit hit(String text, long freshForMs, String... tags) {
    return Hit.newBuilder()
        .setValue(ByteString.copyFromUtf8(text))
        .setFreshForMs(freshForMs)
        .setTags(Tags.newBuilder().addAllNames(List.of(tags)))
        .build();
  }

  private void keep(Hit hit) {
    near.answered(near.sending(KEY, watch), hit);
  }

  private String got() {
    Found found = near.get(KEY);
    return found == null ? null : found.bytes() == null ? "absent" : found.bytes().toStringUtf8();
  }

  private void changed(List<String> keys, List<String> tags, boolean all) {
    near.changed("default", keys, tags, all);
  }

  @Test
  void servesWhatIsFresh() {
    assertNull(got());
    keep(hit("v", 60_000));
    assertEquals("v", got());
    keep(Hit.newBuilder().setAbsent(true).setFreshForMs(60_000).build());
    assertEquals("absent", got());
  }

  @Test
  void servesNothingPastItsTimeWhichBeginsWithTheRequest() {
    NearCache.Asking asking = near.sending(KEY, watch);
    pass(400);
    near.answered(asking, hit("v", 1_000));
    pass(599);
    assertEquals("v", got());
    pass(1);
    assertNull(got());
    keep(hit("v", 0));
    assertNull(got());
  }

  @Test
  void keepsNothingWhoseTimeWasOverWhenItsAnswerCame() {
    for (long ms : List.of(1_000, 1_100)) {
      keep(hit("before", 60_000));
      NearCache.Asking asking = near.sending(KEY, watch);
      pass(ms);
      near.answered(asking, hit("late", 1_000));
      assertNull(got());
      end();
      assertNull(left());
      begin();
    }
  }

  @Test
  void servesNothingWithoutABeatInTheLastThreeSeconds() {
    keep(hit("v", 60_000));
    pass(2_999);
    assertEquals("v", got());
    pass(1);
    assertNull(got());
    near.heard(watch);
    assertEquals("v", got());
  }

  @Test
  void dropsByKeyByTagAndAsAWhole() {
    keep(hit("v", 60_000));
    changed(List.of("other"), List.of(), false);
    assertEquals("v", got());
    changed(List.of("k"), List.of(), false);
    assertNull(got());
    keep(hit("v", 60_000, "a", "b"));
    changed(List.of(), List.of("c"), false);
    assertEquals("v", got());
    changed(List.of(), List.of("b"), false);
    assertNull(got());
    keep(hit("v", 60_000));
    near.changed("another", List.of("k"), List.of("a"), true);
    assertEquals("v", got());
    changed(List.of(), List.of(), true);
    assertNull(got());
  }

  @Test
  void dropsWhatMayHaveATagThatTheReplicaDoesNotTell() {
    keep(Hit.newBuilder().setAbsent(true).setFreshForMs(60_000).build());
    changed(List.of(), List.of("any"), false);
    assertNull(got());
  }

  @Test
  void dropsRatherTooMuchThanTooLittleOfTagsThatAreForgotten() {
    keep(hit("v", 60_000, "a"));
    changed(List.of(), List.of("a"), false);
    changed(List.of(), IntStream.range(0, 10_001).mapToObj(tag -> "t" + tag).toList(), false);
    assertNull(got());
    keep(hit("v", 60_000, "a"));
    assertEquals("v", got());
  }

  @Test
  void isNotFilledByWhatWasAskedForBeforeAChange() {
    record Change(List<String> keys, List<String> tags, boolean all) {}
    for (Change change :
        List.of(
            new Change(List.of("k"), List.of(), false),
            new Change(List.of(), List.of("a"), false),
            new Change(List.of(), List.of(), true))) {
      NearCache.Asking asking = near.sending(KEY, watch);
      changed(change.keys(), change.tags(), change.all());
      near.answered(asking, hit("old", 60_000, "a"));
      assertNull(got(), change.toString());
    }
  }

  @Test
  void dropsAllWithItsSessionAndKeepsNothingThatWasAskedForOnIt() {
    keep(hit("v", 60_000));
    NearCache.Asking asking = near.sending(KEY, watch);
    end();
    near.answered(asking, hit("old", 60_000));
    begin();
    assertNull(got());
    keep(hit("new", 60_000));
    assertEquals("new", got());
  }

  @Test
  void servesWhatASessionBroughtOnlyWhileThatOneIsLive() {
    Watch other = near.watch();
    near.heard(other);
    near.answered(near.sending(KEY, other), hit("v", 60_000));
    pass(2_999);
    near.heard(watch);
    assertEquals("v", got());
    pass(1);
    assertNull(got());
    keep(hit("of the live one", 60_000));
    assertEquals("of the live one", got());
  }

  @Test
  void dropsAllWithAnySession() {
    Watch other = near.watch();
    near.heard(other);
    keep(hit("v", 60_000));
    NearCache.Asking asking = near.sending(KEY, watch);
    near.ended(other);
    assertNull(got());
    near.answered(asking, hit("old", 60_000));
    assertNull(got());
    keep(hit("new", 60_000));
    assertEquals("new", got());
  }

  @Test
  void dropsNothingWithASessionThatWasNotToBeHad() {
    keep(hit("v", 60_000));
    near.ended(near.watch());
    assertEquals("v", got());
  }

  @Test
  void keepsNothingThatLeftOnASessionThatWasNotToBeHad() {
    Watch never = near.watch();
    NearCache.Asking asking = near.sending(KEY, never);
    near.ended(never);
    near.answered(asking, hit("of a call by itself", 60_000));
    assertNull(got());
    end();
    assertNull(left());
  }

  @Test
  void isLiveWhileEverySessionIs() {
    assertTrue(near.isLive());
    Watch other = near.watch();
    assertFalse(near.isLive());
    near.heard(other);
    assertTrue(near.isLive());
    pass(2_999);
    near.heard(watch);
    assertTrue(near.isLive());
    pass(1);
    assertFalse(near.isLive());
    near.ended(other);
    assertTrue(near.isLive());
    end();
    assertFalse(near.isLive());
  }

  @Test
  void keepsNothingOfANamespaceThatIsNotWatched() {
    assertNull(near.sending(FullKey.of("other", "k"), watch));
    assertNull(near.get(FullKey.of("other", "k")));
  }

  @Test
  void keepsToItsBoundOfBytes() {
    NearCache small = new NearCache(10_000, List.of(""), false, nowNanos::get);
    Watch its = small.watch();
    small.heard(its);
    for (int at = 0; at < 100; at += 1) {
      small.answered(small.sending(FullKey.of("", "k" + at), its), hit("x".repeat(1_000), 60_000));
    }
    long kept = IntStream.range(0, 100).filter(at -> small.get(FullKey.of("", "k" + at)) != null).count();
    assertTrue(kept > 0 && kept < 9, kept + " are kept");
  }

  @Test
  void refusesBoundsThatAreNone() {
    assertThrows(IllegalArgumentException.class, () -> DibsClient.builder().nearCache(0));
    DibsClientBuilder unary = DibsClient.builder().nearCache(1).session(false);
    assertThrows(IllegalArgumentException.class, unary::build);
    String[] many = IntStream.range(0, 65).mapToObj(String::valueOf).toArray(String[]::new);
    DibsClientBuilder all = DibsClient.builder().nearCache(1, many);
    assertThrows(IllegalArgumentException.class, all::build);
  }

  private String left() {
    Found found = near.left(KEY);
    return found == null ? null : found.bytes().toStringUtf8();
  }

  @Test
  void keepsWhatIsLeftUntilTheServiceIsBackOrItsOwnTimeIsOver() {
    keep(hit("v", 60_000, "t"));
    assertNull(left());
    end();
    assertNull(got());
    assertEquals("v", left());
    begin();
    assertNull(left());
    keep(hit("v", 100));
    end();
    pass(99);
    assertEquals("v", left());
    pass(1);
    assertNull(left());
  }

  @Test
  void keepsNothingOfWhatTheProcessItselfInvalidates() {
    for (int how = 0; how < 3; how += 1) {
      keep(hit("v", 60_000, "t"));
      end();
      assertEquals("v", left());
      changed(how == 0 ? List.of("k") : List.of(), how == 1 ? List.of("t") : List.of(), how == 2);
      assertNull(left());
      begin();
    }
  }

  @Test
  void isLeftWithWhatALateBeatHasDroppedUntilTheServiceIsBack() {
    keep(hit("v", 60_000));
    near.missed();
    near.heard(watch);
    assertNull(got());
    assertEquals("v", left());
    end();
    assertEquals("v", left());
    begin();
    assertNull(left());
  }

  @Test
  void keepsNothingThatHadAlreadyChanged() {
    keep(hit("v", 60_000, "t"));
    changed(List.of(), List.of("t"), false);
    end();
    assertNull(left());
  }

  /** Changes that the service told of after its welcome may still be unread. */
  @Test
  void keepsAndSharesNothingFromBeforeALateWelcome() {
    Flights<Found> flights = Flights.ofRequests(() -> true);
    LocalRebuilds local = new LocalRebuilds(new SafeHooks(Hooks.NONE), new Metrics(null, ""), Threads.REBUILDS);
    Changes changes = new Changes(flights, Flights.ofWork(), new RunningRebuilds(), local, near);
    for (long ms : List.of(2_999, 3_000)) {
      AtomicLong begun = new AtomicLong();
      Watch late = near.watch();
      NearCache.Asking asking = near.sending(KEY, late);
      flights.join(ms, KEY, Long.MAX_VALUE, flight -> flight.sending(true));
      pass(ms);
      changes.welcome(late);
      near.answered(asking, hit("v", 60_000));
      assertEquals(ms == 3_000 ? null : "v", got());
      flights.join(ms, KEY, Long.MAX_VALUE, flight -> begun.incrementAndGet());
      assertEquals(ms == 3_000 ? 1 : 0, begun.get());
      near.ended(late);
    }
  }
}
