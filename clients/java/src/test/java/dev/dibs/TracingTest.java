package dev.dibs;

import static dev.dibs.FakeService.lease;
import static dev.dibs.FakeService.leaseWithPrevious;
import static dev.dibs.FakeService.says;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.ExplainRequest;
import dev.dibs.v1.ExtendOutcome;
import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.ExtendResponse;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.InvalidateRequest;
import dev.dibs.v1.InvalidateResponse;
import dev.dibs.v1.PublishResponse;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionReply;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What becomes of OpenTelemetry's traces. */
final class TracingTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final String REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  private final InMemorySpanExporter exporter = InMemorySpanExporter.create();
  private final OpenTelemetrySdk sdk =
      OpenTelemetrySdk.builder()
          .setTracerProvider(
              SdkTracerProvider.builder().addSpanProcessor(SimpleSpanProcessor.create(exporter)).build())
          .build();
  private final Tracer shop = sdk.getTracer("shop");
  private final FakeService fake = new FakeService();
  private DibsClient client = fake.client().session(false).openTelemetry(sdk).build();

  @AfterEach
  void close() {
    client.close();
    fake.close();
    sdk.close();
  }

  private static String traceparent(SpanContext span) {
    return "00-" + span.getTraceId() + "-" + span.getSpanId() + "-" + span.getTraceFlags().asHex();
  }

  /** Within a span of the application's, which is returned. */
  private SpanContext within(Callable<?> work) throws Exception {
    Span request = shop.spanBuilder("GET /users/42").startSpan();
    try {
      Context.current().with(request).wrap(work).call();
    } finally {
      request.end();
    }
    return request.getSpanContext();
  }

  private List<SpanData> ended(String name) {
    return exporter.getFinishedSpanItems().stream().filter(span -> span.getName().equals(name)).toList();
  }

  /** The one span of a rebuild. */
  private SpanData rebuilt() {
    List<SpanData> rebuilds = ended("dibs.rebuild");
    assertEquals(1, rebuilds.size());
    return rebuilds.get(0);
  }

  @Test
  void aRebuildIsASpanOfItsCaller() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    SpanContext caller =
        within(
            () ->
                client.getOrRebuild(
                    "k",
                    TEXT,
                    () -> {
                      shop.spanBuilder("SELECT").startSpan().end();
                      return "v";
                    }));
    SpanData span = rebuilt();
    assertEquals(caller, span.getParentSpanContext());
    assertEquals(SpanKind.INTERNAL, span.getKind());
    assertEquals(StatusCode.UNSET, span.getStatus().getStatusCode());
    assertEquals("dev.dibs", span.getInstrumentationScopeInfo().getName());
    Attributes expected =
        Attributes.builder()
            .put("dibs.namespace", "default")
            .put("dibs.lease.reason", "miss")
            .put("dibs.fence", 4)
            .put("dibs.publish.outcome", "stored")
            .build();
    assertEquals(expected.asMap(), span.getAttributes().asMap());
    assertEquals(span.getSpanContext(), ended("SELECT").get(0).getParentSpanContext());
    assertEquals(List.of(traceparent(caller)), fake.traceparents.get("GetOrLock"));
    assertEquals(List.of(traceparent(span.getSpanContext())), fake.traceparents.get("Publish"));
  }

  @Test
  void theLeaseIsExtendedInTheRebuildsSpan() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 3_000));
    fake.will(
        ExtendRequest.class,
        says(
            ExtendResponse.newBuilder()
                .setOutcome(ExtendOutcome.EXTEND_OUTCOME_EXTENDED)
                .setExpiresInMs(60_000)
                .build()));
    client.getOrRebuild(
        "k",
        TEXT.namespace("mine"),
        () -> {
          Until.isTrue(() -> fake.traceparents.containsKey("Extend"));
          return "v";
        });
    assertEquals("mine", rebuilt().getAttributes().get(AttributeKey.stringKey("dibs.namespace")));
    // On a busy machine there may be more than one.
    assertEquals(Set.of(traceparent(rebuilt().getSpanContext())), Set.copyOf(fake.traceparents.get("Extend")));
  }

  @Test
  void aRebuildBehindAStaleValueIsASpanToo() throws Exception {
    fake.will(GetOrLockRequest.class, leaseWithPrevious("old"));
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<SpanContext> inside = new CompletableFuture<>();
    SpanContext caller =
        within(
            () ->
                client.getOrRebuild(
                    "k",
                    TEXT,
                    () -> {
                      gate.await();
                      inside.complete(Span.current().getSpanContext());
                      return "new";
                    }));
    gate.countDown();
    Until.isTrue(() -> !ended("dibs.rebuild").isEmpty());
    assertEquals(caller, rebuilt().getParentSpanContext());
    assertEquals(rebuilt().getSpanContext(), inside.get());
  }

  @Test
  void aRebuildThatFailsSaysSoInItsSpan() {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    assertThrows(
        IllegalStateException.class,
        () ->
            client.getOrRebuild(
                "k",
                TEXT,
                () -> {
                  throw new IllegalStateException("the database is down");
                }));
    SpanData span = rebuilt();
    assertEquals(StatusCode.ERROR, span.getStatus().getStatusCode());
    assertEquals("java.lang.IllegalStateException: the database is down", span.getStatus().getDescription());
    assertEquals(List.of("exception"), span.getEvents().stream().map(event -> event.getName()).toList());
    assertNull(span.getAttributes().get(AttributeKey.stringKey("dibs.publish.outcome")));
    assertEquals(List.of(traceparent(span.getSpanContext())), fake.traceparents.get("Release"));
  }

  @Test
  void thatThereIsNothingIsNoErrorInTheSpan() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    assertNull(client.getOrRebuild("k", TEXT, () -> null));
    assertEquals(StatusCode.UNSET, rebuilt().getStatus().getStatusCode());
  }

  @Test
  void aTraceparentOfTheCallersOwnComesFirst() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    within(() -> client.getOrRebuild("k", TEXT.traceparent(REMOTE), () -> "v"));
    SpanData span = rebuilt();
    assertEquals(REMOTE, traceparent(span.getParentSpanContext()));
    assertEquals(List.of(REMOTE), fake.traceparents.get("GetOrLock"));
    assertEquals(List.of(traceparent(span.getSpanContext())), fake.traceparents.get("Publish"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", REMOTE, "00-trace"})
  void withoutAnSdkOnlyWhatTheCallerNamesIsSent(String named) throws Exception {
    client.close();
    client = fake.client().session(false).build();
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    assertEquals("v", client.getOrRebuild("k", TEXT.traceparent(named), () -> "v"));
    assertThrows(
        IllegalStateException.class,
        () ->
            client.getOrRebuild(
                "k",
                TEXT.traceparent(named),
                () -> {
                  throw new IllegalStateException("down");
                }));
    assertEquals(List.of(named, named), fake.traceparents.get("GetOrLock"));
    assertEquals(List.of(named), fake.traceparents.get("Publish"));
    assertEquals(List.of(named), fake.traceparents.get("Release"));
    // The application may still set its own.
    assertFalse(GlobalOpenTelemetry.isSet());
  }

  @Test
  void theGlobalOneMayBeSetAfterTheClientWasMade() throws Exception {
    client.close();
    client = fake.client().session(false).build();
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    GlobalOpenTelemetry.set(sdk);
    try {
      client.getOrRebuild("k", TEXT, () -> "v");
    } finally {
      GlobalOpenTelemetry.resetForTest();
    }
    assertFalse(rebuilt().getParentSpanContext().isValid());
  }

  @Test
  void aRebuildWithoutTheServiceRunsInItsCallersSpan() throws Exception {
    fake.will(GetOrLockRequest.class, FakeService.unavailable());
    CompletableFuture<SpanContext> inside = new CompletableFuture<>();
    SpanContext caller =
        within(
            () ->
                client.getOrRebuild(
                    "k",
                    TEXT,
                    () -> {
                      inside.complete(Span.current().getSpanContext());
                      return "v";
                    }));
    assertEquals(caller, inside.get());
    assertEquals(List.of(), ended("dibs.rebuild"));
  }

  @Test
  void whatTheCallerAsksForBesideIsInItsSpan() throws Exception {
    fake.will(InvalidateRequest.class, says(InvalidateResponse.getDefaultInstance()));
    fake.will(GetOrLockRequest.class, FakeService.hit("v"));
    var stub = CoordinatorServiceGrpc.newBlockingStub(client.channel());
    Metadata own = new Metadata();
    own.put(Tracing.TRACEPARENT, REMOTE);
    SpanContext caller =
        within(
            () -> {
              client.invalidate(Invalidation.ofAll());
              // The fake has no Explain, which does not keep it from hearing of one.
              var refused =
                  assertThrows(
                      StatusRuntimeException.class, () -> stub.explain(ExplainRequest.getDefaultInstance()));
              assertEquals(Status.Code.UNIMPLEMENTED, refused.getStatus().getCode());
              return stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(own))
                  .getOrLock(GetOrLockRequest.getDefaultInstance());
            });
    assertEquals(List.of(traceparent(caller)), fake.traceparents.get("Invalidate"));
    assertEquals(List.of(traceparent(caller)), fake.traceparents.get("Explain"));
    assertEquals(List.of(REMOTE), fake.traceparents.get("GetOrLock"));
  }

  @Test
  void aCallOfASessionIsInTheSpanOfItsCaller() throws Exception {
    try (FakeSessions sessions = new FakeSessions();
        DibsClient inSession = sessions.client().openTelemetry(sdk).build()) {
      CompletableFuture<CompletableFuture<String>> call = new CompletableFuture<>();
      SpanContext caller = within(() -> call.complete(inSession.getOrRebuildAsync("k", TEXT, () -> "v")));
      FakeSessions.Stream stream = sessions.stream();
      stream.welcome("r");
      SessionCall asked = stream.call();
      assertEquals(traceparent(caller), asked.getTraceparent());
      stream.reply(
          SessionReply.newBuilder()
              .setId(asked.getId())
              .setGetOrLock(GetOrLockResponse.newBuilder().setLease(FakeService.leaseOf("t", 10_000))));
      SessionCall publishing = stream.call();
      stream.reply(
          SessionReply.newBuilder().setId(publishing.getId()).setPublish(PublishResponse.getDefaultInstance()));
      assertEquals("v", call.get().get());
      assertEquals(traceparent(rebuilt().getSpanContext()), publishing.getTraceparent());
    }
  }
}
