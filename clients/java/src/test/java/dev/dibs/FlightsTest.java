package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

final class FlightsTest {
  private static final FullKey KEY = FullKey.of("", "k");

  private boolean live = true;
  private final Flights<String> flights = Flights.ofRequests(() -> live);
  private final List<Flight<String>> started = new ArrayList<>();

  private CompletableFuture<String> join() {
    return join(KEY, Duration.ofMinutes(1));
  }

  private CompletableFuture<String> join(FullKey key, Duration wait) {
    return flights.join(key, key, System.nanoTime() + wait.toNanos(), started::add);
  }

  private void end(int flight, String value) {
    started.get(flight).land(value, null);
  }

  @Test
  void shareOneResult() throws Exception {
    var one = join();
    var two = join();
    end(0, "v");
    assertEquals("v", one.get());
    assertEquals("v", two.get());
    assertEquals(1, started.size());
  }

  @Test
  void shareOneFailureAndBeginAnew() {
    var one = join();
    Exception fault = new Exception("no");
    started.get(0).land(null, fault);
    assertEquals(fault, assertThrows(ExecutionException.class, one::get).getCause());
    join();
    assertEquals(2, started.size());
  }

  @Test
  void goOnWhileACallerWaits() throws Exception {
    var leaving = join();
    var staying = join();
    leaving.cancel(false);
    assertFalse(started.get(0).audience().left().isRaised());
    end(0, "v");
    assertEquals("v", staying.get());
  }

  @Test
  void areLeftByTheLastAndNotJoinedAfterwards() throws Exception {
    join().cancel(false);
    assertTrue(started.get(0).audience().left().isRaised());
    var late = join();
    assertEquals(2, started.size());
    // The one that was left ends later, and does not take the place of the other.
    end(0, "old");
    var joined = join();
    end(1, "new");
    assertEquals("new", late.get());
    assertEquals("new", joined.get());
    assertEquals(2, started.size());
  }

  @Test
  void thatCannotStartFailAndLeaveNothingBehind() {
    var failed = flights.join(KEY, KEY, 0, flight -> { throw new IllegalStateException("no"); });
    assertThrows(ExecutionException.class, failed::get);
    join();
    assertEquals(1, started.size());
  }

  @Test
  void areJoinedUntilTheirRequestLeaves() throws Exception {
    join();
    started.get(0).sending(false);
    var late = join();
    assertEquals(2, started.size());
    end(0, "old");
    assertFalse(late.isDone());
  }

  @Test
  void areJoinedWhileASessionHearsOfChangesUntilOneArrives() {
    FullKey watched = FullKey.of("watched", "k");
    join(watched, Duration.ofMinutes(1));
    started.get(0).sending(true);
    join(watched, Duration.ofMinutes(1));
    assertEquals(1, started.size());
    flights.changed(key -> key.key().equals("other"));
    join(watched, Duration.ofMinutes(1));
    assertEquals(1, started.size());
    flights.changed(watched::equals);
    join(watched, Duration.ofMinutes(1));
    assertEquals(2, started.size());
  }

  @Test
  void areNotJoinedWhereTheSessionTellsOfNothingAnyMore() {
    join();
    started.get(0).sending(true);
    live = false;
    join();
    assertEquals(2, started.size());
  }

  @Test
  void thatHaveNotLeftAreNewerThanAnyChange() {
    join();
    flights.changed(key -> true);
    join();
    assertEquals(1, started.size());
  }

  @Test
  void becomeTheWaitOfEachCallerThatJoinedOnceARebuildRuns() throws Exception {
    var first = join(KEY, Duration.ZERO);
    var without = join(KEY, Duration.ZERO);
    var brief = join(KEY, Duration.ofMillis(30));
    var patient = join(KEY, Duration.ofMinutes(1));
    started.get(0).rebuilding();
    assertTrue(without.isDone());
    var busy = (DibsBusyException) assertThrows(ExecutionException.class, brief::get).getCause();
    assertEquals(BusyReason.WAIT_ENDED, busy.reason());
    assertNotNull(busy.retryAfter().orElseThrow());
    assertFalse(first.isDone() || patient.isDone());
    end(0, "v");
    assertEquals("v", first.get());
    assertEquals("v", patient.get());
  }

  @Test
  void ofWorkAreJoinedUntilTheyLandOrTheProcessChangesTheKey() {
    Flights<String> work = Flights.ofWork();
    for (int time = 0; time < 2; time += 1) {
      work.join(KEY, KEY, System.nanoTime() + Duration.ofMinutes(1).toNanos(), started::add);
      started.get(0).rebuilding();
    }
    assertEquals(1, started.size());
    work.changed(KEY::equals);
    work.join(KEY, KEY, 0, started::add);
    assertEquals(2, started.size());
  }
}
