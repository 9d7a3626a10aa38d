package dev.dibs;

import dev.dibs.HitCounts.Source;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.Meter;
import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.concurrent.atomic.LongAdder;

/**
 * The metrics of a client, by OpenTelemetry's API only. None has the key as an attribute: keys may be personal data,
 * and their number is unlimited.
 */
final class Metrics {
  static final AttributeKey<String> NAMESPACE = AttributeKey.stringKey("dibs.namespace");
  private static final AttributeKey<String> OUTCOME = AttributeKey.stringKey("dibs.outcome");
  private static final double NANOS = 1e9;

  /** From an answer over the network to the longest default wait. OpenTelemetry's own are for milliseconds. */
  private static final List<Double> WAIT_BOUNDS_S =
      List.of(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0);

  /** The outcome of a rebuild under a lease. */
  enum Outcome {
    PUBLISHED,
    NOT_STORED,
    FAILED,
    LOST
  }

  /** Per OpenTelemetry instance, shared by clients: counts of a closed client must remain, or a sum would fall. */
  private static final Map<OpenTelemetry, Instruments> OF_EACH = new WeakHashMap<>();

  private final OpenTelemetry openTelemetry;
  private final String namespace;

  /** Near hits of the client's own namespace, without a lookup: they are the cheapest calls. */
  private volatile LongAdder nearHits;

  /** The instance that was current last: an application may set the global one later. */
  private volatile Instruments current;

  /** {@code openTelemetry} is null for the global one; {@code namespace} is the client's own. */
  Metrics(OpenTelemetry openTelemetry, String namespace) {
    this.openTelemetry = openTelemetry;
    this.namespace = namespace;
    instruments();
  }

  /** Costs little more than a plain counter. Does not ask for the global OpenTelemetry: calls that are sent do. */
  void nearHit(String ofNamespace) {
    if (ofNamespace.equals(namespace)) nearHits.increment();
    else current.hits.of(ofNamespace).add(Source.NEAR, Freshness.FRESH);
  }

  void hit(String ofNamespace, Source source, Freshness freshness) {
    instruments().hits.of(ofNamespace).add(source, freshness);
  }

  void rebuilt(String ofNamespace, Outcome outcome) {
    Instruments its = instruments();
    Attributes attributes =
        its.hits.attributesOf(ofNamespace).toBuilder().put(OUTCOME, outcome.name().toLowerCase(Locale.ROOT)).build();
    its.rebuilds.add(1, attributes);
  }

  void rebuiltLocally(String ofNamespace) {
    Instruments its = instruments();
    its.localRebuilds.add(1, its.hits.attributesOf(ofNamespace));
  }

  void lost(String ofNamespace) {
    Instruments its = instruments();
    its.leasesLost.add(1, its.hits.attributesOf(ofNamespace));
  }

  void undecodable(String ofNamespace) {
    Instruments its = instruments();
    its.undecodable.add(1, its.hits.attributesOf(ofNamespace));
  }

  void waited(String ofNamespace, Duration waited) {
    Instruments its = instruments();
    its.waits.record(waited.toNanos() / NANOS, its.hits.attributesOf(ofNamespace));
  }

  private Instruments instruments() {
    OpenTelemetry now = openTelemetry == null ? GlobalOpenTelemetry.getOrNoop() : openTelemetry;
    Instruments known = current;
    if (known != null && known.isOf(now)) return known;
    synchronized (OF_EACH) {
      known = OF_EACH.computeIfAbsent(now, Instruments::new);
    }
    nearHits = known.hits.of(namespace).sumOf(Source.NEAR, Freshness.FRESH);
    current = known;
    return known;
  }

  private static final class Instruments {
    private final HitCounts hits = new HitCounts();
    private final LongCounter rebuilds;
    private final LongCounter localRebuilds;
    private final LongCounter leasesLost;
    private final LongCounter undecodable;
    private final DoubleHistogram waits;

    /** Weak, as in the map, which would otherwise keep it forever. */
    private final WeakReference<OpenTelemetry> of;

    Instruments(OpenTelemetry of) {
      this.of = new WeakReference<>(of);
      Meter meter = of.getMeterProvider().meterBuilder("dibs-client").setInstrumentationVersion(Version.TEXT).build();
      meter
          .counterBuilder("dibs.client.hits")
          .setUnit("{hit}")
          .setDescription("Values that this call did not rebuild")
          .buildWithCallback(hits::observe);
      rebuilds = counter(meter, "rebuilds", "{rebuild}", "Rebuilds under a lease, by outcome");
      localRebuilds =
          counter(
              meter,
              "local_rebuilds",
              "{rebuild}",
              "Rebuilds without the service, because it could not be reached");
      leasesLost = counter(meter, "leases_lost", "{lease}", "Leases that were lost while their rebuild ran");
      undecodable = counter(meter, "undecodable", "{value}", "Cached values that the codec could not read");
      waits =
          meter
              .histogramBuilder("dibs.client.wait.duration")
              .setUnit("s")
              .setDescription("How long callers waited for another caller's rebuild")
              .setExplicitBucketBoundariesAdvice(WAIT_BOUNDS_S)
              .build();
    }

    boolean isOf(OpenTelemetry other) {
      return of.refersTo(other);
    }

    private static LongCounter counter(Meter meter, String name, String unit, String description) {
      return meter
          .counterBuilder("dibs.client." + name)
          .setUnit(unit)
          .setDescription(description)
          .build();
    }
  }
}
