package dibs

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const (
	// meterName is the source of the metrics of all clients of Dibs, in each language.
	meterName = "dibs-client"
	// metricNamespacesMax bounds the memory. Calls of further namespaces are counted together.
	metricNamespacesMax = 100
	// otherNamespaces is their name, as in the metrics of the service.
	otherNamespaces = "other"
)

// WithMeterProvider sets the provider that counts hits, rebuilds and waits. Default: OpenTelemetry's global one, which
// does nothing unless the application has set one.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return option(func(c *config) { c.meters = provider })
}

// waitBounds are in seconds: from an answer over the network to the longest default wait. Those of OpenTelemetry are for
// milliseconds.
var waitBounds = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// hitSource is where a value came from that this call did not rebuild.
type hitSource int

const (
	notHit hitSource = iota
	hitNear
	hitService
	hitJoined
	hitSources
)

var (
	sourceWords    = [hitSources]string{hitNear: "near", hitService: "service", hitJoined: "joined"}
	freshnessWords = [2]string{"fresh", "stale"}
)

// The outcomes of a rebuild under a lease.
const (
	rebuildPublished = "published"
	rebuildNotStored = "not_stored"
	rebuildFailed    = "failed"
	rebuildLost      = "lost"
)

// metrics are the client's counts, with OpenTelemetry's API only. None contains a key, because keys may be personal
// data, and there is no limit to them.
type metrics struct {
	hits          *hitCounts
	rebuilds      metric.Int64Counter
	localRebuilds metric.Int64Counter
	leasesLost    metric.Int64Counter
	undecodable   metric.Int64Counter
	waits         metric.Float64Histogram
}

func newMetrics(provider metric.MeterProvider) *metrics {
	meter := provider.Meter(meterName, metric.WithInstrumentationVersion(Version))
	// If the provider refuses an instrument, it reports that itself, and returns one that does nothing.
	counter := func(name, unit, description string) metric.Int64Counter {
		made, _ := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		return made
	}
	waits, _ := meter.Float64Histogram("dibs.client.wait.duration", metric.WithUnit("s"),
		metric.WithDescription("How long callers waited for another caller's rebuild"),
		metric.WithExplicitBucketBoundaries(waitBounds...))
	return &metrics{
		hits: hitCountsOf(provider, meter),
		rebuilds: counter("dibs.client.rebuilds", "{rebuild}",
			"Rebuilds under a lease, by outcome"),
		localRebuilds: counter("dibs.client.local_rebuilds", "{rebuild}",
			"Rebuilds without the service, because it could not be reached"),
		leasesLost:  counter("dibs.client.leases_lost", "{lease}", "Leases that were lost while their rebuild ran"),
		undecodable: counter("dibs.client.undecodable", "{value}", "Cached values that the codec could not read"),
		waits:       waits,
	}
}

func (m *metrics) rebuilt(namespace, outcome string) {
	m.rebuilds.Add(context.Background(), 1, metric.WithAttributes(
		m.attributeOf(namespace), attribute.String("dibs.outcome", outcome)))
}

func (m *metrics) count(what metric.Int64Counter, namespace string) {
	what.Add(context.Background(), 1, metric.WithAttributes(m.attributeOf(namespace)))
}

func (m *metrics) waited(namespace string, lasted time.Duration) {
	m.waits.Record(context.Background(), lasted.Seconds(), metric.WithAttributes(m.attributeOf(namespace)))
}

// attributeOf is the same in all metrics of a namespace, also beyond the bound.
func (m *metrics) attributeOf(namespace string) attribute.KeyValue {
	return m.hits.of(namespace).attribute
}

// hitCounts are plain numbers that are read when the application collects. A near hit costs a fraction of a
// microsecond, and calling the SDK would cost more.
type hitCounts struct {
	mu    sync.Mutex
	taken int
	// namespaces → *namespaceHits
	namespaces sync.Map
}

// namespaceHits are the hits of one namespace, by source and freshness.
type namespaceHits struct {
	attribute  attribute.KeyValue
	counts     [hitSources][2]atomic.Int64
	attributes [hitSources][2]metric.MeasurementOption
}

// countsOfProviders are the counts of each provider. Clients share them: the counts of a closed client must remain, or
// a sum would fall.
var countsOfProviders sync.Map

func hitCountsOf(provider metric.MeterProvider, meter metric.Meter) *hitCounts {
	made := &hitCounts{}
	if reflect.TypeOf(provider).Comparable() {
		if known, isKnown := countsOfProviders.LoadOrStore(provider, made); isKnown {
			return known.(*hitCounts)
		}
	}
	made.observedBy(meter)
	return made
}

func (h *hitCounts) observedBy(meter metric.Meter) {
	_, _ = meter.Int64ObservableCounter("dibs.client.hits", metric.WithUnit("{hit}"),
		metric.WithDescription("Values that this call did not rebuild"),
		metric.WithInt64Callback(func(_ context.Context, observer metric.Int64Observer) error {
			h.observe(observer)
			return nil
		}))
}

func (h *hitCounts) observe(observer metric.Int64Observer) {
	h.namespaces.Range(func(_, its any) bool {
		hits := its.(*namespaceHits)
		for source := range hits.counts {
			for freshness := range hits.counts[source] {
				if count := hits.counts[source][freshness].Load(); count > 0 {
					observer.Observe(count, hits.attributes[source][freshness])
				}
			}
		}
		return true
	})
}

// of returns the counts of a namespace.
func (h *hitCounts) of(namespace string) *namespaceHits {
	if known, ok := h.namespaces.Load(namespace); ok {
		return known.(*namespaceHits)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taken >= metricNamespacesMax {
		namespace = otherNamespaces
	}
	known, isKnown := h.namespaces.Load(namespace)
	if isKnown {
		return known.(*namespaceHits)
	}
	made := &namespaceHits{attribute: attribute.String("dibs.namespace", namespace)}
	for source := range made.attributes {
		for freshness := range made.attributes[source] {
			made.attributes[source][freshness] = metric.WithAttributeSet(attribute.NewSet(
				made.attribute,
				attribute.String("dibs.source", sourceWords[source]),
				attribute.String("dibs.freshness", freshnessWords[freshness]),
			))
		}
	}
	h.namespaces.Store(namespace, made)
	h.taken++
	return made
}

func (n *namespaceHits) add(source hitSource, isStale bool) {
	freshness := 0
	if isStale {
		freshness = 1
	}
	n.counts[source][freshness].Add(1)
}
