package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockRequest;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A session that cannot be had, or comes too late. */
final class WithoutSessionTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions fake = new FakeSessions();
  private final DibsClient client = fake.client().connectTimeout(Duration.ofSeconds(1)).build();

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  /** The first call, whose session is not confirmed in time. */
  private void goesWithout() throws Exception {
    assertTrue(client.ready(Until.PATIENCE));
    assertEquals(FakeSessions.UNARY, client.getOrRebuild("first", TEXT, () -> "never"));
    fake.stream();
  }

  @Test
  void isNotTriedForWithEachCallWhereItWasRefused() throws Exception {
    try (FakeService unary = new FakeService();
        DibsClient oneByOne = unary.client().build()) {
      unary.will(GetOrLockRequest.class, FakeService.hit("v"));
      for (int time = 0; time < 3; time += 1) assertEquals("v", oneByOne.getOrRebuild("k", TEXT, () -> "never"));
      // One stream that was refused, and three calls.
      assertEquals(4, unary.headers.size());
    }
  }

  @Test
  void isNotTriedForWithEachCallWhereItWasLate() throws Exception {
    goesWithout();
    for (int at = 0; at < 20; at += 1) {
      assertEquals(FakeSessions.UNARY, client.getOrRebuild("k" + at, TEXT, () -> "never"));
    }
    int streams = 0;
    for (; fake.hasStream(); streams += 1) fake.stream();
    // Some are tried for behind the calls if the machine is busy, ever more seldom.
    assertTrue(streams < 10, streams + " streams");
  }

  @Test
  void isTriedForAgainBehindTheCalls() throws Exception {
    goesWithout();
    List<FakeSessions.Stream> welcomed = new ArrayList<>();
    Until.isTrue(
        () -> {
          CompletableFuture<String> call = client.getOrRebuildAsync("k", TEXT, () -> "mine");
          do {
            welcomeInto(welcomed);
            for (FakeSessions.Stream one : welcomed) if (one.hasCall()) one.hit(one.call(), "over the session");
            Thread.sleep(1);
          } while (!call.isDone());
          return call.get().equals("over the session");
        });
  }

  /** Welcomes those that were opened since. The client may have given one up meanwhile: then it opens another one. */
  private void welcomeInto(List<FakeSessions.Stream> welcomed) throws InterruptedException {
    while (fake.hasStream()) {
      FakeSessions.Stream stream = fake.stream();
      try {
        stream.welcome("resume");
        welcomed.add(stream);
      } catch (StatusRuntimeException late) {
        // It was given up.
      }
    }
  }
}
