package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import dev.dibs.v1.GetOrLockResponse;
import io.grpc.Status;
import io.opentelemetry.api.OpenTelemetry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Callers that joined a call whose time was shorter than theirs. */
final class JoinedWaitsTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  /** What the first caller has, and how long the service asks to wait. */
  private static final Duration BRIEF = Duration.ofMillis(100);

  /** Its requests are answered by the test. */
  private static final class Played extends SingleCalls {
    final List<CompletableFuture<Object>> asked = new ArrayList<>();

    @Override
    @SuppressWarnings("unchecked")
    public synchronized <Q extends MessageLite, R> CompletableFuture<R> call(
        Method<Q, R> method, Q request, Terms terms) {
      CompletableFuture<Object> answer = new CompletableFuture<>();
      asked.add(answer);
      return (CompletableFuture<R>) answer;
    }

    synchronized int count() {
      return asked.size();
    }

    synchronized CompletableFuture<Object> at(int place) {
      return asked.get(place);
    }
  }

  /** A rebuild that does not end. */
  private static final class Endless implements Run.Body {
    @Override
    public CompletableFuture<ByteString> start(Run run, Executor executor, long waitNanos) {
      return new CompletableFuture<>();
    }

    @Override
    public Class<?> writtenAs() {
      return Endless.class;
    }
  }

  private final Played service = new Played();
  private final Tracing tracing = new Tracing(OpenTelemetry.noop());
  private final Metrics metrics = new Metrics(OpenTelemetry.noop(), "");
  private final SafeHooks hooks = new SafeHooks(Hooks.NONE);
  private final Parts parts =
      new Parts(
          service,
          null,
          hooks,
          new HeldLeases(),
          Flights.ofRequests(() -> true),
          Flights.ofWork(),
          new RunningRebuilds(),
          new LocalRebuilds(hooks, metrics, Runnable::run),
          null,
          new Availability("", () -> {}),
          null,
          new Background(),
          Runnable::run,
          tracing,
          metrics,
          "",
          "me",
          OnUnavailable.FAIL,
          Duration.ofMinutes(1));

  private CompletableFuture<Found> call(Duration wait) {
    return call(wait, OnUnavailable.FAIL);
  }

  private CompletableFuture<Found> call(Duration wait, OnUnavailable choice) {
    long now = System.nanoTime();
    long until = now + wait.toNanos();
    var about = new Question("", "k", TEXT, choice, new Endless(), tracing.ofCaller(""), now, until);
    return new Caller(parts, about).start();
  }

  private void endsBothWith(DibsException error, Consumer<CompletableFuture<Object>> answer) throws Exception {
    CompletableFuture<Found> first = call(BRIEF);
    CompletableFuture<Found> second = call(Duration.ofHours(1));
    assertEquals(1, service.count());
    answer.accept(service.at(0));
    assertEquals(error.getMessage(), assertThrows(ExecutionException.class, first::get).getCause().getMessage());
    assertEquals(error.getMessage(), assertThrows(ExecutionException.class, second::get).getCause().getMessage());
    assertEquals(1, service.count());
  }

  private void leavesTimeToTheSecond(Consumer<CompletableFuture<Object>> answer) throws Exception {
    CompletableFuture<Found> first = call(BRIEF);
    CompletableFuture<Found> second = call(Duration.ofHours(1));
    assertEquals(1, service.count());
    answer.accept(service.at(0));
    assertTrue(first.isCompletedExceptionally());
    Until.isTrue(() -> service.count() == 2);
    service.at(1).complete(GetOrLockResponse.newBuilder().setHit(FakeService.hitOf("v")).build());
    assertEquals("v", second.get().bytes().toStringUtf8());
  }

  private static GetOrLockResponse busy(BusyReason reason) {
    var busy = dev.dibs.v1.Busy.newBuilder().setRetryAfterMs(BRIEF.toMillis());
    if (reason != BusyReason.UNSPECIFIED) {
      busy.setReason(dev.dibs.v1.BusyReason.valueOf("BUSY_REASON_" + reason));
    }
    return GetOrLockResponse.newBuilder().setBusy(busy).build();
  }

  @ParameterizedTest
  @EnumSource(names = "NO_VALUE", mode = EnumSource.Mode.EXCLUDE)
  void askForThemselvesWhereTheServiceHadNoAnswerInTime(BusyReason reason) throws Exception {
    leavesTimeToTheSecond(answer -> answer.complete(busy(reason)));
  }

  @Test
  void askForThemselvesWhereTheServiceSaidWhenToRetry() throws Exception {
    var full = new DibsStatusException(Status.Code.RESOURCE_EXHAUSTED, "full", BRIEF, null);
    leavesTimeToTheSecond(answer -> answer.completeExceptionally(full));
  }

  @ParameterizedTest
  @EnumSource(names = "NO_VALUE")
  void haveTheAnswerThatIsForAll(BusyReason reason) throws Exception {
    endsBothWith(new DibsBusyException(reason, BRIEF, Duration.ZERO), answer -> answer.complete(busy(reason)));
  }

  @Test
  void haveTheErrorThatIsForAll() throws Exception {
    var denied = new DibsStatusException(Status.Code.PERMISSION_DENIED, "no");
    endsBothWith(denied, answer -> answer.completeExceptionally(denied));
  }

  /** A rebuild without the service is that of another caller, too. */
  @Test
  void areTheirOwnWhereTheServiceIsAway() throws Exception {
    CompletableFuture<Found> first = call(Duration.ofHours(1), OnUnavailable.REBUILD);
    CompletableFuture<Found> second = call(BRIEF, OnUnavailable.REBUILD);
    for (int time = 0; time < Availability.BROKEN_OFF_MAX; time += 1) {
      int place = time;
      Until.isTrue(() -> service.count() > place);
      service.at(place).completeExceptionally(DibsStatusException.unavailable("gone"));
    }
    var error = assertThrows(ExecutionException.class, () -> second.get(5, TimeUnit.SECONDS)).getCause();
    assertEquals(BusyReason.WAIT_ENDED, assertInstanceOf(DibsBusyException.class, error).reason());
    assertFalse(first.isDone());
  }
}
