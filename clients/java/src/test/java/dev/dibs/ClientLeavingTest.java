package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.dibs.v1.LeaseEnd;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Waits, callers, leases and services that end, over a session and by calls one by one. */
final class ClientLeavingTest extends OnService {
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void doesNotWaitLongerThanItMay(boolean session) throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    DibsClient holder = client(session);
    CompletableFuture<String> held = heldUntil(gate, holder);
    DibsClient hurried = client(session);
    Options<String> atOnce = TEXT.maxWait(Duration.ZERO).onUnavailable(OnUnavailable.FAIL);
    AtomicReference<DibsBusyException> busy = new AtomicReference<>();
    Until.isTrue(() -> {
      try {
        return fail(hurried.getOrRebuild(key, atOnce, () -> "never"));
      } catch (DibsBusyException error) {
        busy.set(error);
        return true;
      } catch (DibsStatusException late) {
        // On a busy machine, the answer may take longer than its way may.
        return false;
      }
    });
    assertEquals(BusyReason.WAIT_ENDED, busy.get().reason());
    assertTrue(busy.get().retryAfter().isPresent());
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
    // By a session it is told at once; otherwise with the next extension, after a third of the lease.
    Options<String> options = TEXT.lease(Duration.ofSeconds(session ? 60 : 3));
    long startNanos = System.nanoTime();
    String value = client.getOrRebuild(key, options, lease -> {
      if (runs.incrementAndGet() > 1) return "anew";
      try {
        client.invalidate(Invalidation.ofKeys(key));
        new CountDownLatch(1).await();
      } finally {
        wasLost.set(lease.isLost());
      }
      return "never";
    });
    assertEquals("anew", value);
    // The caller has not waited for the rebuild that lost its lease.
    Until.isTrue(wasLost::get);
    assertTrue(System.nanoTime() - startNanos < TimeUnit.SECONDS.toNanos(15));
    assertTrue(hooks.events.contains("lease lost"));
  }

  @Test
  void returnsWhatItRebuiltAlsoWhereItIsNotStored() throws Exception {
    Recorded hooks = new Recorded();
    // Without a session nothing tells of the loss before the publish, and an extension is far away.
    DibsClient client = client(false, hooks);
    String value = client.getOrRebuild(key, TEXT.lease(Duration.ofMinutes(1)), () -> {
      client.invalidate(Invalidation.ofKeys(key));
      return "mine";
    });
    assertEquals("mine", value);
    Until.isTrue(() -> hooks.events.contains("publish INVALIDATED"));
    assertFalse(explain(client).hasValue());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void givesTheLeaseBackWhenNobodyWaits(boolean session) throws Exception {
    DibsClient client = client(session);
    CountDownLatch began = new CountDownLatch(1);
    CountDownLatch interrupted = new CountDownLatch(1);
    RebuildFunction<String, Exception> rebuild = lease -> {
      began.countDown();
      try {
        new CountDownLatch(1).await();
      } catch (InterruptedException error) {
        interrupted.countDown();
        throw error;
      }
      return "never";
    };
    CompletableFuture<String> leaving = client.getOrRebuildAsync(key, TEXT, rebuild);
    // The service shows the lease before the client has it, and would take it back from callers that leave by then.
    began.await();
    // Joins the rebuild. Before, it would ask for itself, and be handed the lease that the other gives back.
    CompletableFuture<String> staying = client.getOrRebuildAsync(key, TEXT, rebuild);
    leaving.cancel(true);
    assertThrows(CancellationException.class, leaving::get);
    assertTrue(explain(client).hasLease());
    staying.orTimeout(1, TimeUnit.MILLISECONDS);
    assertEquals(TimeoutException.class, assertThrows(ExecutionException.class, staying::get).getCause().getClass());
    interrupted.await();
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
    CompletableFuture<String> held = heldUntil(gate, holder);
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
  void makesNoCallsAfterItsEndAndEndsThoseItHasMade(boolean session) throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    DibsClient holder = client(session);
    CompletableFuture<String> held = heldUntil(gate, holder);
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
      RebuildFunction<String, Exception> local = lease -> lease.reason() == RebuildReason.LOCAL ? "mine" : "";
      assertEquals("mine", client.getOrRebuild(key, TEXT, local));
      assertEquals("local rebuild", hooks.events.get(hooks.events.size() - 1));
      DibsStatusException error =
          assertThrows(
              DibsStatusException.class,
              () -> client.getOrRebuild(key, TEXT.onUnavailable(OnUnavailable.FAIL), () -> "never"));
      assertEquals(io.grpc.Status.Code.UNAVAILABLE, error.code());
      try (Service again = Service.start(mortal.target(), java.util.Map.of())) {
        Until.isTrue(
            () -> !client.getOrRebuild(Service.freshKey(), TEXT, lease -> lease.reason().name()).equals("LOCAL"));
        assertTrue(again.target().equals(mortal.target()));
      }
    }
  }

  /** A rebuild of the key that ends with the gate; its lease is there. */
  private CompletableFuture<String> heldUntil(CountDownLatch gate, DibsClient holder) throws Exception {
    CompletableFuture<String> held = holder.getOrRebuildAsync(key, TEXT, () -> {
      gate.await();
      return "v";
    });
    Until.isTrue(() -> explain(holder).hasLease());
    return held;
  }
}
