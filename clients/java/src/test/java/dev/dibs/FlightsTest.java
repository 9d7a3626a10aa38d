package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

final class FlightsTest {
  private final Flights<String> flights = new Flights<>();
  private final List<CompletableFuture<String>> started = new ArrayList<>();
  private final List<Signal> signals = new ArrayList<>();

  private CompletableFuture<String> join() {
    return flights.join(
        "id",
        left -> {
          CompletableFuture<String> result = new CompletableFuture<>();
          started.add(result);
          signals.add(left);
          return result;
        });
  }

  @Test
  void shareOneResult() throws Exception {
    var one = join();
    var two = join();
    started.get(0).complete("v");
    assertEquals("v", one.get());
    assertEquals("v", two.get());
    assertEquals(1, started.size());
  }

  @Test
  void shareOneFailureAndBeginAnew() {
    var one = join();
    Exception fault = new Exception("no");
    started.get(0).completeExceptionally(fault);
    assertEquals(fault, assertThrows(ExecutionException.class, one::get).getCause());
    join();
    assertEquals(2, started.size());
  }

  @Test
  void goOnWhileSomebodyWaits() throws Exception {
    var leaving = join();
    var staying = join();
    leaving.cancel(false);
    assertFalse(signals.get(0).isRaised());
    started.get(0).complete("v");
    assertEquals("v", staying.get());
  }

  @Test
  void areLeftByTheLastAndNotJoinedAfterwards() throws Exception {
    join().cancel(false);
    assertTrue(signals.get(0).isRaised());
    var late = join();
    assertEquals(2, started.size());
    // The one that was left ends later, and takes nobody else's place.
    started.get(0).complete("old");
    var joined = join();
    started.get(1).complete("new");
    assertEquals("new", late.get());
    assertEquals("new", joined.get());
    assertEquals(2, started.size());
  }

  @Test
  void thatCannotStartFailAndLeaveNothingBehind() {
    var failed = flights.join("id", left -> { throw new IllegalStateException("no"); });
    assertThrows(ExecutionException.class, failed::get);
    join();
    assertEquals(1, started.size());
  }
}
