package dev.dibs;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.ObservableLongMeasurement;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/** Plain counters that are read when the application collects metrics: a near hit costs less than a call of an SDK. */
final class HitCounts {
  /** Where a value came from, as named in metrics. */
  enum Source {
    NEAR,
    SERVICE,
    JOINED
  }

  /** Hits of further namespaces are counted together. */
  private static final int NAMESPACES_MAX = 100;

  /** The name for these, as in the metrics of the service. */
  private static final String OTHER = "other";

  private static final AttributeKey<String> SOURCE = AttributeKey.stringKey("dibs.source");
  private static final AttributeKey<String> FRESHNESS = AttributeKey.stringKey("dibs.freshness");

  /** One sum, as reported. */
  private static final class Count {
    private final LongAdder sum = new LongAdder();
    private final Attributes attributes;

    Count(Attributes attributes) {
      this.attributes = attributes;
    }
  }

  /** Of one namespace: by source, then by freshness. */
  static final class OfNamespace {
    private final Count[][] counts = new Count[Source.values().length][Freshness.values().length];

    OfNamespace(Attributes namespace) {
      for (Source source : Source.values()) {
        for (Freshness freshness : Freshness.values()) {
          counts[source.ordinal()][freshness.ordinal()] =
              new Count(
                  namespace.toBuilder()
                      .put(SOURCE, source.name().toLowerCase(Locale.ROOT))
                      .put(FRESHNESS, freshness.name().toLowerCase(Locale.ROOT))
                      .build());
        }
      }
    }

    void add(Source source, Freshness freshness) {
      sumOf(source, freshness).increment();
    }

    LongAdder sumOf(Source source, Freshness freshness) {
      return counts[source.ordinal()][freshness.ordinal()].sum;
    }
  }

  private final Map<String, OfNamespace> namespaces = new ConcurrentHashMap<>();
  private final Map<String, Attributes> attributes = new ConcurrentHashMap<>();

  OfNamespace of(String namespace) {
    OfNamespace known = namespaces.get(namespace);
    if (known != null) return known;
    return namespaces.computeIfAbsent(nameOf(namespace), name -> new OfNamespace(attributesOf(name)));
  }

  /** The attributes of each metric of a namespace. */
  Attributes attributesOf(String namespace) {
    Attributes known = attributes.get(namespace);
    if (known != null) return known;
    return attributes.computeIfAbsent(nameOf(namespace), name -> Attributes.of(Metrics.NAMESPACE, FullKey.named(name)));
  }

  void observe(ObservableLongMeasurement hits) {
    for (OfNamespace one : namespaces.values()) {
      for (Count[] ofSource : one.counts) {
        for (Count count : ofSource) {
          long sum = count.sum.sum();
          if (sum > 0) hits.record(sum, count.attributes);
        }
      }
    }
  }

  private String nameOf(String namespace) {
    String name = FullKey.named(namespace);
    return attributes.containsKey(name) || attributes.size() < NAMESPACES_MAX ? name : OTHER;
  }
}
