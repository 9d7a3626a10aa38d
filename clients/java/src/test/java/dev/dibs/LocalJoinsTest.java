package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import io.opentelemetry.api.OpenTelemetry;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import org.junit.jupiter.api.Test;

/** Who shares a rebuild without the service. Each caller has joined, or has not, as soon as its call returns. */
final class LocalJoinsTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  /** The service is away. */
  private static final class Away extends SingleCalls {
    /** Of the next request; null where that fails at once. */
    CompletableFuture<Object> held;

    @Override
    @SuppressWarnings("unchecked")
    public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
      terms.sending().leaves(null);
      CompletableFuture<Object> answer =
          held == null ? CompletableFuture.failedFuture(DibsStatusException.unavailable("gone")) : held;
      held = null;
      return (CompletableFuture<R>) answer;
    }
  }

  /** A rebuild that the test ends. */
  private record Played(CompletableFuture<ByteString> value) implements Run.Body {
    @Override
    public CompletableFuture<ByteString> start(Run run, Executor executor, long waitNanos) {
      if (value == null) throw new AssertionError("rebuilt without need");
      return value;
    }

    @Override
    public Class<?> writtenAs() {
      return Played.class;
    }
  }

  private static final Played NEVER = new Played(null);

  private final Away service = new Away();
  private final Tracing tracing = new Tracing(OpenTelemetry.noop());
  private final SafeHooks hooks = new SafeHooks(Hooks.NONE);
  private final Metrics metrics = new Metrics(OpenTelemetry.noop(), "");
  private final LocalRebuilds local = new LocalRebuilds(hooks, metrics, Runnable::run);
  private final Flights<Found> flights = Flights.ofRequests(() -> false);
  private final RunningRebuilds running = new RunningRebuilds();
  private final Changes changes = new Changes(flights, Flights.ofWork(), running, local, null);
  private final Availability availability = new Availability("", () -> {});
  private final Parts parts =
      new Parts(
          service,
          null,
          hooks,
          new HeldLeases(),
          flights,
          Flights.ofWork(),
          running,
          local,
          changes,
          availability,
          null,
          new Background(),
          Runnable::run,
          tracing,
          metrics,
          "",
          "me",
          OnUnavailable.REBUILD,
          Duration.ofMinutes(1));

  LocalJoinsTest() {
    // From now on nothing pauses before it does without the service.
    availability.lost(DibsStatusException.unavailable("gone"));
  }

  private static Played played() {
    return new Played(new CompletableFuture<>());
  }

  private CompletableFuture<Found> call(Options<String> options, Run.Body body) {
    long now = System.nanoTime();
    long untilNanos = now + (options.maxWait() == null ? Duration.ofMinutes(1) : options.maxWait()).toNanos();
    var about = new Question("", "k", options, OnUnavailable.REBUILD, body, tracing.ofCaller(""), now, untilNanos);
    return new Caller(parts, about).start();
  }

  private static String text(CompletableFuture<Found> of) throws Exception {
    return of.get().bytes().toStringUtf8();
  }

  private static void end(Played rebuild, String value) {
    rebuild.value().complete(ByteString.copyFromUtf8(value));
  }

  @Test
  void noCallerJoinsAfterTheProcessHasInvalidatedTheKey() throws Exception {
    Played rebuild = played();
    CompletableFuture<Found> old = call(TEXT, rebuild);
    CompletableFuture<Found> joined = call(TEXT, NEVER);
    CompletableFuture<Found> without = call(TEXT.maxWait(Duration.ZERO), NEVER);
    var busy = (DibsBusyException) assertThrows(ExecutionException.class, without::get).getCause();
    assertEquals(BusyReason.WAIT_ENDED, busy.reason());
    changes.invalidated(Invalidation.ofKeys("k"), "");
    Played newer = played();
    CompletableFuture<Found> later = call(TEXT, newer);
    end(newer, "new");
    assertEquals("new", text(later));
    end(rebuild, "old");
    assertEquals("old", text(old));
    assertEquals("old", text(joined));
    // The older one is not what is kept.
    assertEquals("new", text(call(TEXT, NEVER)));
  }

  /** A refresh that finds the service away is often one of many. They share a rebuild that began after they came. */
  @Test
  void aCallThatNeedsANewValueJoinsARebuildThatBeganAfterIt() throws Exception {
    CompletableFuture<Object> late = new CompletableFuture<>();
    service.held = late;
    CompletableFuture<Found> first = call(TEXT.refresh(), NEVER);
    Played rebuild = played();
    CompletableFuture<Found> second = call(TEXT.refresh(), rebuild);
    late.completeExceptionally(DibsStatusException.unavailable("gone"));
    end(rebuild, "new");
    assertEquals("new", text(second));
    assertEquals("new", text(first));
  }
}
