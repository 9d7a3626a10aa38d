package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.InvalidateRequest;
import io.grpc.Metadata;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.testing.exporter.InMemoryMetricReader;
import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a client counts, as an application's SDK collects it. */
final class MetricsTest extends OnService {
  /** For a read, which waits for no rebuild here: the time that its answer may take on a busy machine. */
  private static final Options<String> PATIENT = TEXT.maxWait(Until.PATIENCE);

  private final InMemoryMetricReader reader = InMemoryMetricReader.create();
  private final OpenTelemetry sdk =
      OpenTelemetrySdk.builder()
          .setMeterProvider(SdkMeterProvider.builder().registerMetricReader(reader).build())
          .build();

  @AfterEach
  void end() {
    ((OpenTelemetrySdk) sdk).close();
  }

  /** Each sum by its name and the values of its attributes, in the order of their names. */
  private Map<String, Long> sums() {
    Map<String, Long> sums = new TreeMap<>();
    Collection<MetricData> all = reader.collectAllMetrics();
    for (MetricData metric : all) {
      assertEquals("dibs-client", metric.getInstrumentationScopeInfo().getName());
      metric.getLongSumData().getPoints().forEach(point -> {
        sums.put(metric.getName().replace("dibs.client.", "") + words(point.getAttributes()), point.getValue());
      });
      metric.getHistogramData().getPoints().forEach(point -> {
        sums.put(metric.getName().replace("dibs.client.", "") + words(point.getAttributes()), point.getCount());
        // In seconds, up to the longest default wait.
        assertEquals(30.0, point.getBoundaries().get(point.getBoundaries().size() - 1));
      });
    }
    return sums;
  }

  private static String words(Attributes attributes) {
    StringBuilder words = new StringBuilder();
    attributes.forEach((name, value) -> words.append(' ').append(value));
    return words.toString();
  }

  @Test
  void countsHitsByTheirSource() throws Exception {
    try (DibsClient client = service.client().nearCache(1 << 20).openTelemetry(sdk).build()) {
      client.getOrRebuild(key, TEXT, () -> "v");
      Until.isTrue(
          () -> {
            client.get(key, PATIENT);
            return sums().containsKey("hits fresh default near");
          });
      client.getOrRebuild(key, TEXT.read(Options.Read.STORE), () -> "unused");
    }
    Map<String, Long> sums = sums();
    assertEquals(1, sums.get("rebuilds default published"));
    assertEquals(1, sums.get("hits fresh default near"));
    assertTrue(sums.get("hits fresh default service") >= 2, sums.toString());
    assertEquals(null, sums.get("hits fresh default joined"));
  }

  @Test
  void countsWhatCallsOfOneProcessShare() throws Exception {
    try (DibsClient client = service.client().namespace("shop").openTelemetry(sdk).build()) {
      CountDownLatch running = new CountDownLatch(1);
      CountDownLatch gate = new CountDownLatch(1);
      var first =
          client.getOrRebuildAsync(
              key,
              TEXT,
              () -> {
                running.countDown();
                gate.await();
                return "v";
              });
      running.await();
      var second = client.getOrRebuildAsync(key, TEXT, () -> "unused");
      gate.countDown();
      assertEquals("v", first.get());
      assertEquals("v", second.get());
    }
    assertEquals(Map.of("hits fresh shop joined", 1L, "rebuilds shop published", 1L), sums());
  }

  @Test
  void countsHowRebuildsEndAndWhatCannotBeRead() throws Exception {
    try (DibsClient client = service.client().openTelemetry(sdk).build();
        DibsClient other = service.client().openTelemetry(sdk).build()) {
      assertThrows(Exception.class, () -> client.getOrRebuild(key, TEXT, () -> { throw new Exception("away"); }));
      client.getOrRebuild(key + " unstored", TEXT, lease -> {
        lease.doNotStore();
        return "v";
      });
      client.set(key + " text", "no json", TEXT);
      Options<Long> numbers = Options.of(Long.class, TEXT.ttl()).maxWait(Until.PATIENCE);
      assertTrue(other.get(key + " text", numbers).isEmpty());
      var lost =
          client.getOrRebuild(key + " lost", TEXT, lease -> {
            if (lease.reason() == RebuildReason.INVALIDATED || lease.reason() == RebuildReason.HOLDER_LOST) return "again";
            other.invalidate(Invalidation.ofKeys(key + " lost"));
            Until.isTrue(lease::isLost);
            return "never";
          });
      assertEquals("again", lost);
      Until.isTrue(() -> sums().containsKey("rebuilds default lost"));
    }
    Map<String, Long> sums = sums();
    assertEquals(1, sums.get("rebuilds default failed"), sums.toString());
    assertEquals(1, sums.get("rebuilds default not_stored"), sums.toString());
    assertEquals(1, sums.get("rebuilds default lost"), sums.toString());
    assertEquals(1, sums.get("rebuilds default published"), sums.toString());
    assertEquals(1, sums.get("leases_lost default"), sums.toString());
    // Both clients count into the same sums.
    assertEquals(1, sums.get("undecodable default"), sums.toString());
  }

  @Test
  void countsWaitsAndRebuildsWithoutTheService() throws Exception {
    try (FakeService fake = new FakeService();
        DibsClient client = fake.client().session(false).openTelemetry(sdk).build()) {
      fake.will(GetOrLockRequest.class, FakeService.busy(60_000, 1));
      assertThrows(DibsBusyException.class, () -> client.getOrRebuild("k", TEXT, () -> "never"));
      fake.will(GetOrLockRequest.class, FakeService.unavailable());
      assertEquals("mine", client.getOrRebuild("k", TEXT, () -> "mine"));
    }
    assertEquals(Map.of("wait.duration default", 1L, "local_rebuilds default", 1L), sums());
  }

  @Test
  void namespacesBeyondABoundAreCountedTogether() {
    HitCounts counts = new HitCounts();
    for (int at = 0; at < 100; at += 1) counts.attributesOf("n" + at);
    assertEquals("n99", counts.attributesOf("n99").get(Metrics.NAMESPACE));
    assertEquals("other", counts.attributesOf("n100").get(Metrics.NAMESPACE));
    assertEquals("other", counts.attributesOf("n101").get(Metrics.NAMESPACE));
  }

  @Test
  void saysInTheUserAgentWhichClientCalls() {
    try (FakeService fake = new FakeService();
        DibsClient client = fake.client().session(false).build()) {
      fake.will(InvalidateRequest.class, FakeService.says(dev.dibs.v1.InvalidateResponse.getDefaultInstance()));
      fake.will(ExtendRequest.class, FakeService.NEVER);
      client.invalidate(Invalidation.ofKeys("k"));
      String agent = fake.headers.get(0).get(Metadata.Key.of("user-agent", Metadata.ASCII_STRING_MARSHALLER));
      assertTrue(agent.matches("dibs-client-java/\\d+\\.\\d+\\.\\d+ grpc-java-netty/.*"), agent);
    }
  }
}
