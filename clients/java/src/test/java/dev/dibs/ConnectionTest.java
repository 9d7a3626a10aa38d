package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.SocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** How a client comes to its service. */
final class ConnectionTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void goesOverAUnixSocket(boolean session) throws Exception {
    String target = "unix://" + folder.resolve("dibs.sock");
    try (Service service = Service.start(target, Map.of());
        DibsClient client =
            DibsClient.builder()
                .target(target)
                .connectTimeout(Until.PATIENCE)
                .session(session)
                .onUnavailable(OnUnavailable.FAIL)
                .build()) {
      assertTrue(client.ready(Until.PATIENCE));
      for (int time = 0; time < 2; time += 1) assertEquals("v0", client.getOrRebuild("k", TEXT, value(time)));
      assertEquals(new InvalidateResult(1, 0), client.invalidate(Invalidation.ofKeys("k")));
      assertTrue(service.target().contains("dibs.sock"), service.target());
    }
  }

  private static RebuildFunction<String, Exception> value(int time) {
    return rebuild -> "v" + time;
  }

  @Test
  void isReadyWhenItStands() throws Exception {
    try (FakeService fake = new FakeService();
        DibsClient client = fake.client().build()) {
      assertTrue(client.ready(Until.PATIENCE));
      assertTrue(client.ready(Duration.ZERO));
    }
    try (ServerSocket mute = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        DibsClient client = DibsClient.builder().target("127.0.0.1:" + mute.getLocalPort()).build()) {
      assertFalse(client.ready(Duration.ofMillis(20)));
    }
  }

  /** A channel that connects to nothing, and counts how often it is told to do so at once. */
  private static final class Idle extends ManagedChannel {
    private final AtomicInteger retries = new AtomicInteger();

    @Override
    public void resetConnectBackoff() {
      retries.incrementAndGet();
    }

    @Override
    public ManagedChannel shutdown() {
      return this;
    }

    @Override
    public ConnectivityState getState(boolean connects) {
      return isShutdown() ? ConnectivityState.SHUTDOWN : ConnectivityState.TRANSIENT_FAILURE;
    }

    @Override
    public void notifyWhenStateChanged(ConnectivityState from, Runnable told) {}

    @Override
    public boolean isShutdown() {
      return retries.get() > 2;
    }

    @Override
    public boolean isTerminated() {
      return isShutdown();
    }

    @Override
    public ManagedChannel shutdownNow() {
      return this;
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) {
      return true;
    }

    @Override
    public <Q, R> ClientCall<Q, R> newCall(MethodDescriptor<Q, R> method, CallOptions options) {
      throw new AssertionError("no call is made");
    }

    @Override
    public String authority() {
      return "dibs";
    }
  }

  @Test
  void isTriedAgainAtAnAddressThatIsLostWhileAnotherOneStands() throws Exception {
    Idle channel = new Idle();
    Connection connection = new Connection(channel, "a:1,b:1", Duration.ofSeconds(2));
    SocketAddress one = InetSocketAddress.createUnresolved("a", 1);
    SocketAddress two = InetSocketAddress.createUnresolved("b", 1);
    connection.connected(Set.of(one), false);
    connection.connected(Set.of(one, two), true);
    Thread.sleep(1_500);
    assertEquals(0, channel.retries.get());
    connection.connected(Set.of(one), false);
    Until.isTrue(() -> channel.retries.get() >= 2);
  }

  /** Plain gRPC would wait longer each time, up to two minutes. */
  @Test
  void isTriedAgainAndAgainWhileThereIsNone() throws Exception {
    Idle channel = new Idle();
    new Connection(channel, "a:1", Duration.ofSeconds(2)).watch();
    Until.isTrue(() -> channel.retries.get() >= 3);
  }

  @Test
  void isNotLateWhileThisProcessItselfStands() throws Exception {
    CompletableFuture<Long> ranOut = new CompletableFuture<>();
    CountDownLatch standing = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    // No timer of this process comes to its turn, as where all of it is stopped.
    CompletableFuture<Long> goesOn = new CompletableFuture<>();
    Threads.after(
        Duration.ZERO,
        () -> {
          standing.countDown();
          try {
            gate.await();
          } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
          }
          goesOn.complete(System.nanoTime());
        });
    standing.await();
    RunningTime.after(Duration.ofMillis(400), () -> ranOut.complete(System.nanoTime()));
    Thread.sleep(600);
    gate.countDown();
    long afterwardsNanos = ranOut.get(30, TimeUnit.SECONDS) - goesOn.get();
    assertTrue(afterwardsNanos > TimeUnit.MILLISECONDS.toNanos(200), afterwardsNanos + " ns");
  }
}
