package dibs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// meter is an application that collects what the client counts.
type meter struct {
	reader *sdkmetric.ManualReader
	option dibs.Option
}

func newMeter() *meter {
	reader := sdkmetric.NewManualReader()
	return &meter{reader, dibs.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))}
}

// counts are all sums, and how often a histogram was told, each under its name and attributes.
func (m *meter) counts(t *testing.T) map[string]int64 {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := m.reader.Collect(context.Background(), &collected); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, scope := range collected.ScopeMetrics {
		if scope.Scope.Name != "dibs-client" || scope.Scope.Version != dibs.Version {
			t.Errorf("counted by %v", scope.Scope)
		}
		for _, its := range scope.Metrics {
			name := func(attributes attribute.Set) string {
				return strings.TrimPrefix(its.Name, "dibs.client.") + " " + attributes.Encoded(attribute.DefaultEncoder())
			}
			switch data := its.Data.(type) {
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					counts[name(point.Attributes)] = point.Value
				}
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					counts[name(point.Attributes)] = int64(point.Count)
				}
			}
		}
	}
	return counts
}

func (m *meter) wants(t *testing.T, wanted map[string]int64) {
	t.Helper()
	counts := m.counts(t)
	maps.DeleteFunc(counts, func(name string, _ int64) bool {
		// Outside of fake time the way of an answer may look like a wait on a busy machine.
		return strings.HasPrefix(name, "wait") && wanted[name] == 0
	})
	if !maps.Equal(counts, wanted) {
		t.Errorf("counted %v, want %v", counts, wanted)
	}
}

func TestRebuildsAreCountedByWhatBecameOfThem(t *testing.T) {
	down := errors.New("down")
	one := func(outcome string) map[string]int64 {
		return map[string]int64{"rebuilds dibs.namespace=default,dibs.outcome=" + outcome: 1}
	}
	lost := dibsv1.ExtendOutcome_EXTEND_OUTCOME_LOST
	for name, test := range map[string]struct {
		publish answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse]
		rebuild func(context.Context) (string, error)
		wanted  map[string]int64
	}{
		"stored":      {published(stored), returning("v"), one("published")},
		"stored late": {published(dibsv1.PublishOutcome_PUBLISH_OUTCOME_STORED_LATE), returning("v"), one("published")},
		"superseded":  {published(dibsv1.PublishOutcome_PUBLISH_OUTCOME_SUPERSEDED), returning("v"), one("not_stored")},
		"too large":   {unpublished(codes.ResourceExhausted, "value: too large"), returning("v"), one("not_stored")},
		"refused":     {unpublished(codes.PermissionDenied, "no"), returning("v"), one("not_stored")},
		"absent":      {published(stored), failing(dibs.ErrAbsent), one("published")},
		"failed":      {published(stored), failing(down), one("failed")},
		"its own wish": {published(stored), func(ctx context.Context) (string, error) {
			return "v", dibs.DoNotStore(ctx)
		}, one("not_stored")},
		"lost": {published(stored), func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}, map[string]int64{"rebuilds dibs.namespace=default,dibs.outcome=lost": 1, "leases_lost dibs.namespace=default": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			fake, meter := newFake(), newMeter()
			fake.getOrLock.will(lease("token", 300))
			fake.extend.will(ok[*dibsv1.ExtendRequest](&dibsv1.ExtendResponse{Outcome: lost}))
			fake.publish.will(test.publish)
			onFake(t, fake, func(t *testing.T, its *dibs.Client) {
				_, _ = dibs.Fetch(t.Context(), its, "k", test.rebuild, dibs.WithWait(50*time.Millisecond))
			}, meter.option)
			meter.wants(t, test.wanted)
		})
	}
}

func TestHitsAreCountedBySource(t *testing.T) {
	meter := newMeter()
	wanted := map[string]int64{
		"hits dibs.freshness=fresh,dibs.namespace=default,dibs.source=near":    2,
		"hits dibs.freshness=fresh,dibs.namespace=default,dibs.source=service": 1,
		"hits dibs.freshness=fresh,dibs.namespace=n,dibs.source=service":       1,
	}
	onNearStage(t, func(n *nearStage) {
		for range 3 {
			n.wants("k", "v1")
		}
		n.wants("k", "v2", dibs.WithNamespace("n"))
		meter.wants(n.t, wanted)
	}, meter.option)
	// A sum must not fall when one of the clients ends.
	meter.wants(t, wanted)
}

func TestACallerThatJoinedIsCounted(t *testing.T) {
	meter := newMeter()
	fake := startFake(t)
	fake.getOrLock.will(lease("token", 10_000))
	counts := true
	fake.publish.will(publishedCounting(stored, &counts))
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), ttl, meter.option)
	gate := newGated()
	first := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", gate.load) })
	receive(t, "the rebuild", gate.begun)
	second := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", returning("another")) })
	joins(t, its, "k")
	gate.returns <- fetched[string]{value: "v"}
	for _, done := range []<-chan fetched[string]{first, second} {
		got := receive(t, "a value", done)
		want(t, got.value, got.err, "v")
	}
	meter.wants(t, map[string]int64{
		"rebuilds dibs.namespace=default,dibs.outcome=published":              1,
		"hits dibs.freshness=fresh,dibs.namespace=default,dibs.source=joined": 1,
	})
}

func TestStaleHitsWaitsAndWhatCannotBeReadAreCounted(t *testing.T) {
	meter, fake := newMeter(), newFake()
	fake.getOrLock.will(leaseBeside("token", "old"), busy(dibsv1.BusyReason_BUSY_REASON_NO_VALUE, 5), hit("no JSON"), lease("token", 10_000))
	fake.publish.will(published(stored))
	onFake(t, fake, func(t *testing.T, its *dibs.Client) {
		before, err := dibs.Fetch(t.Context(), its, "stale", returning([]byte("new")))
		want(t, string(before), err, "old")
		if err := its.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := dibs.Fetch(t.Context(), its, "busy", returning("v")); err == nil {
			t.Error("it is busy")
		}
		value, err := dibs.Fetch(t.Context(), its, "unreadable", returning("v"))
		want(t, value, err, "v")
	}, meter.option)
	meter.wants(t, map[string]int64{
		"hits dibs.freshness=stale,dibs.namespace=default,dibs.source=service": 1,
		"hits dibs.freshness=fresh,dibs.namespace=default,dibs.source=service": 1,
		"rebuilds dibs.namespace=default,dibs.outcome=published":               2,
		"undecodable dibs.namespace=default":                                   1,
		"wait.duration dibs.namespace=default":                                 1,
	})
}

func TestLocalRebuildsAreCounted(t *testing.T) {
	meter := newMeter()
	its := client(t, nowhere(t), ttl, meter.option, dibs.WithNamespace("n"))
	value, err := dibs.Fetch(t.Context(), its, "k", returning("v"))
	want(t, value, err, "v")
	meter.wants(t, map[string]int64{"local_rebuilds dibs.namespace=n": 1})
}

func TestNamespacesAreCountedTogetherBeyondTheirBound(t *testing.T) {
	meter, fake := newMeter(), startFake(t)
	fake.getOrLock.will(hit(`"v"`))
	its := client(t, fake.target, dibs.WithSession(false), ttl, meter.option)
	for at := range 102 {
		value, err := dibs.Fetch(t.Context(), its, "k", returning("v"), dibs.WithNamespace(fmt.Sprint(at)))
		want(t, value, err, "v")
	}
	others, named := int64(0), 0
	for name, count := range meter.counts(t) {
		switch {
		case name == "hits dibs.freshness=fresh,dibs.namespace=other,dibs.source=service":
			others = count
		case strings.HasPrefix(name, "hits"):
			named++
		}
	}
	if named != 100 || others != 2 {
		t.Errorf("%d namespaces by name, %d hits in others", named, others)
	}
}

func TestWaitsHaveBucketsOfSeconds(t *testing.T) {
	meter, fake := newMeter(), newFake()
	fake.getOrLock.will(busy(dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED, 60_000))
	onFake(t, fake, func(t *testing.T, its *dibs.Client) {
		if _, err := dibs.Fetch(t.Context(), its, "k", returning("v"), dibs.WithWait(0)); err == nil {
			t.Fatal("a value")
		}
	}, meter.option)
	var collected metricdata.ResourceMetrics
	if err := meter.reader.Collect(context.Background(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, its := range collected.ScopeMetrics[0].Metrics {
		if waits, isWaits := its.Data.(metricdata.Histogram[float64]); isWaits {
			if bounds := waits.DataPoints[0].Bounds; bounds[0] != 0.01 || bounds[len(bounds)-1] != 30 {
				t.Errorf("buckets %v", bounds)
			}
			return
		}
	}
	t.Error("no wait is counted")
}

func TestEveryMetricCountsNamespacesTogetherBeyondTheirBound(t *testing.T) {
	meter := newMeter()
	its := client(t, nowhere(t), ttl, meter.option)
	for at := range 102 {
		value, err := dibs.Fetch(t.Context(), its, "k", returning("v"), dibs.WithNamespace(fmt.Sprint(at)))
		want(t, value, err, "v")
	}
	counts := meter.counts(t)
	if others := counts["local_rebuilds dibs.namespace=other"]; len(counts) != 101 || others != 2 {
		t.Errorf("%d series, %d rebuilds in others", len(counts), others)
	}
}

// Providers of an application's own need not be comparable.
type incomparable struct {
	metric.MeterProvider
	_ []int
}

func TestAMeterProviderMayBeAnyValue(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	its := &meter{reader, dibs.WithMeterProvider(incomparable{sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), nil})}
	fake := startFake(t)
	fake.getOrLock.will(hit("v"))
	client := client(t, fake.target, its.option, dibs.WithSession(false), dibs.WithCodec(raw{}), ttl)
	value, err := dibs.Fetch(t.Context(), client, "k", returning("v"))
	want(t, value, err, "v")
	its.wants(t, map[string]int64{"hits dibs.freshness=fresh,dibs.namespace=default,dibs.source=service": 1})
}

func TestTheUserAgentNamesTheClient(t *testing.T) {
	fake := startFake(t)
	agents := make(chan string, 1)
	fake.getOrLock.will(func(ctx context.Context, _ *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
		sent, _ := metadata.FromIncomingContext(ctx)
		agents <- fmt.Sprint(sent.Get("user-agent"))
		return hit("v")(ctx, nil)
	})
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), ttl)
	_, _ = dibs.Fetch(t.Context(), its, "k", returning("v"))
	if agent := receive(t, "a user agent", agents); !strings.HasPrefix(agent, "[dibs-client-go/"+dibs.Version+" grpc-go/") {
		t.Errorf("got %s", agent)
	}
}
