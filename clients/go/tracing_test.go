package dibs_test

import (
	"context"
	"errors"
	"path"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	remote      = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	remoteTrace = "0af7651916cd43dd8448eb211c80319c"
	remoteSpan  = "b7ad6b7169203331"
)

// tracing is an application with the SDK, and a service that remembers the traceparents of its calls.
type tracing struct {
	*fakeService
	provider *sdktrace.TracerProvider
	exporter *tracetest.InMemoryExporter

	mu   sync.Mutex
	sent map[string][]string
}

func startTracing(t *testing.T) *tracing {
	its := &tracing{exporter: tracetest.NewInMemoryExporter(), sent: map[string][]string{}}
	its.provider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(its.exporter))
	its.fakeService = startFake(t, grpc.UnaryInterceptor(its.remember))
	its.getOrLock.will(lease("token", 10_000))
	its.publish.will(published(stored))
	return its
}

func (s *tracing) remember(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	method := path.Base(info.FullMethod)
	s.sent[method] = append(s.sent[method], sent.Get("traceparent")...)
	s.mu.Unlock()
	return handler(ctx, request)
}

// heard is the one traceparent with which the method was called; empty if there was none.
func (s *tracing) heard(t *testing.T, method string) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent[method]) > 1 {
		t.Errorf("%s was called with %v", method, s.sent[method])
	}
	return append(s.sent[method], "")[0]
}

func (s *tracing) client(t *testing.T, options ...dibs.Option) *dibs.Client {
	t.Helper()
	its := []dibs.Option{dibs.WithTracerProvider(s.provider), dibs.WithSession(false), dibs.WithCodec(raw{}), ttl}
	return client(t, s.target, append(its, options...)...)
}

// caller is a context in a span of the application's.
func (s *tracing) caller(t *testing.T) (context.Context, trace.Span) {
	ctx, span := s.provider.Tracer("shop").Start(t.Context(), "GET /users/42")
	t.Cleanup(func() { span.End() })
	return ctx, span
}

// rebuilt is the span of the rebuild, which has ended.
func (s *tracing) rebuilt(t *testing.T) tracetest.SpanStub {
	t.Helper()
	var rebuilds []tracetest.SpanStub
	eventually(t, "one span of a rebuild", func() bool {
		rebuilds = nil
		for _, span := range s.exporter.GetSpans() {
			if span.Name == "dibs.rebuild" {
				rebuilds = append(rebuilds, span)
			}
		}
		return len(rebuilds) == 1
	})
	return rebuilds[0]
}

func traceparent(span trace.SpanContext) string {
	return "00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-01"
}

func TestARebuildIsASpanOfItsCaller(t *testing.T) {
	its := startTracing(t)
	client := its.client(t)
	ctx, caller := its.caller(t)
	var inside trace.SpanContext
	value, err := dibs.Fetch(ctx, client, "k", func(ctx context.Context) (string, error) {
		_, query := its.provider.Tracer("sql").Start(ctx, "SELECT")
		query.End()
		inside = trace.SpanContextFromContext(ctx)
		return "v", nil
	})
	want(t, value, err, "v")
	span := its.rebuilt(t)
	if span.Parent.SpanID() != caller.SpanContext().SpanID() || span.SpanKind != trace.SpanKindInternal || span.Status.Code != codes.Unset {
		t.Errorf("parent %v, kind %v, status %v", span.Parent, span.SpanKind, span.Status)
	}
	if scope := span.InstrumentationScope; scope.Name != "github.com/dibs-cache/dibs/clients/go" || scope.Version != dibs.Version {
		t.Errorf("made by %v", scope)
	}
	wanted := attribute.NewSet(
		attribute.String("dibs.namespace", "default"),
		attribute.String("dibs.lease.reason", "miss"),
		attribute.Int64("dibs.fence", 4),
		attribute.String("dibs.publish.outcome", "stored"),
	)
	if got := attribute.NewSet(span.Attributes...); got != wanted {
		t.Errorf("attributes %v", span.Attributes)
	}
	if !inside.Equal(span.SpanContext) {
		t.Errorf("the rebuild ran in %v", inside)
	}
	if query := its.exporter.GetSpans()[0]; query.Name != "SELECT" || query.Parent.SpanID() != span.SpanContext.SpanID() {
		t.Errorf("the query %q ran in %v", query.Name, query.Parent)
	}
	if got := its.heard(t, "GetOrLock"); got != traceparent(caller.SpanContext()) {
		t.Errorf("asked with %q", got)
	}
	if got := its.heard(t, "Publish"); got != traceparent(span.SpanContext) {
		t.Errorf("published with %q", got)
	}
}

func TestTheLeaseIsExtendedInTheRebuildsSpan(t *testing.T) {
	its := startTracing(t)
	// Extended after a third of it. On a busy machine that may come late, and must not come too late.
	its.getOrLock.will(lease("token", 9_000))
	its.extend.will(ok[*dibsv1.ExtendRequest](&dibsv1.ExtendResponse{
		Outcome:     dibsv1.ExtendOutcome_EXTEND_OUTCOME_EXTENDED,
		ExpiresInMs: 60_000,
	}))
	value, err := dibs.Fetch(t.Context(), its.client(t), "k", func(context.Context) (string, error) {
		eventually(t, "an extension", func() bool { return len(its.extend.heard()) > 0 })
		return "v", nil
	})
	want(t, value, err, "v")
	if got := its.heard(t, "Extend"); got != traceparent(its.rebuilt(t).SpanContext) {
		t.Errorf("extended with %q", got)
	}
}

func TestARebuildBehindAStaleValueIsASpanToo(t *testing.T) {
	its := startTracing(t)
	its.getOrLock.will(leaseBeside("token", "old"))
	ctx, caller := its.caller(t)
	client, gate := its.client(t), make(chan struct{})
	value, err := dibs.Fetch(ctx, client, "k", func(context.Context) (string, error) {
		<-gate
		return "new", nil
	})
	want(t, value, err, "old")
	caller.End()
	close(gate)
	if span := its.rebuilt(t); span.Parent.SpanID() != caller.SpanContext().SpanID() {
		t.Errorf("parent %v", span.Parent)
	}
}

func TestARebuildThatFailsSaysSoInItsSpan(t *testing.T) {
	its := startTracing(t)
	down := errors.New("the database is down")
	if _, err := dibs.Fetch(t.Context(), its.client(t), "k", failing(down)); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	span := its.rebuilt(t)
	if span.Status.Code != codes.Error || span.Status.Description != "the database is down" {
		t.Errorf("status %v", span.Status)
	}
	if len(span.Events) != 1 || span.Events[0].Name != "exception" {
		t.Errorf("events %v", span.Events)
	}
	if got := its.heard(t, "Release"); got != traceparent(span.SpanContext) {
		t.Errorf("released with %q", got)
	}
}

func TestThatThereIsNothingIsNoErrorInTheSpan(t *testing.T) {
	its := startTracing(t)
	if _, err := dibs.Fetch(t.Context(), its.client(t), "k", failing(dibs.ErrAbsent)); !errors.Is(err, dibs.ErrAbsent) {
		t.Errorf("got %v", err)
	}
	if span := its.rebuilt(t); span.Status.Code != codes.Unset || len(span.Events) != 0 {
		t.Errorf("status %v, events %v", span.Status, span.Events)
	}
}

func TestATraceparentOfTheCallersOwnComesFirst(t *testing.T) {
	its := startTracing(t)
	client := its.client(t)
	ctx, _ := its.caller(t)
	value, err := dibs.Fetch(ctx, client, "k", returning("v"), dibs.WithTraceparent(remote))
	want(t, value, err, "v")
	if got := its.heard(t, "GetOrLock"); got != remote {
		t.Errorf("asked with %q", got)
	}
	span := its.rebuilt(t)
	if span.Parent.TraceID().String() != remoteTrace || span.Parent.SpanID().String() != remoteSpan {
		t.Errorf("parent %v", span.Parent)
	}
	if got := its.heard(t, "Publish"); got != traceparent(span.SpanContext) {
		t.Errorf("published with %q", got)
	}
}

func TestWhatTheCallerAsksForBesideFetchIsInItsSpan(t *testing.T) {
	its := startTracing(t)
	its.invalidate.will(ok[*dibsv1.InvalidateRequest](&dibsv1.InvalidateResponse{}))
	client := its.client(t, dibs.WithToken("secret"))
	ctx, caller := its.caller(t)
	if _, err := client.Invalidate(ctx, dibs.Invalidation{All: true}); err != nil {
		t.Error(err)
	}
	// The fake has no Explain, which does not keep it from hearing of one.
	_, _ = client.Stub().Explain(ctx, &dibsv1.ExplainRequest{})
	_, _ = client.Stub().GetOrLock(metadata.AppendToOutgoingContext(ctx, "traceparent", remote), &dibsv1.GetOrLockRequest{})
	for method, expected := range map[string]string{
		"Invalidate": traceparent(caller.SpanContext()),
		"Explain":    traceparent(caller.SpanContext()),
		"GetOrLock":  remote,
	} {
		if got := its.heard(t, method); got != expected {
			t.Errorf("%s with %q", method, got)
		}
	}
}

func TestACallOfASessionIsInTheSpanOfItsCaller(t *testing.T) {
	its := startTracing(t)
	sessions := sessionsOf(its.fakeService)
	client := its.client(t, dibs.WithSession(true))
	ctx, caller := its.caller(t)
	call := behind(func() (string, error) { return dibs.Fetch(ctx, client, "k", returning("v")) })
	session := receive(t, "a session", sessions)
	asked := session.call(t)
	if got := asked.GetTraceparent(); got != traceparent(caller.SpanContext()) {
		t.Errorf("asked with %q", got)
	}
	response, _ := lease("token", 10_000)(t.Context(), nil)
	session.reply(&dibsv1.SessionReply{Id: asked.GetId(), Response: &dibsv1.SessionReply_GetOrLock{GetOrLock: response}})
	publishing := session.call(t)
	session.reply(&dibsv1.SessionReply{Id: publishing.GetId(), Response: &dibsv1.SessionReply_Publish{
		Publish: &dibsv1.PublishResponse{Outcome: stored},
	}})
	got := receive(t, "the value", call)
	want(t, got.value, got.err, "v")
	if got := publishing.GetTraceparent(); got != traceparent(its.rebuilt(t).SpanContext) {
		t.Errorf("published with %q", got)
	}
}

func TestSpansAreMadeByTheGlobalTracerProviderUnlessThereIsAnother(t *testing.T) {
	its := startTracing(t)
	otel.SetTracerProvider(its.provider)
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	client := client(t, its.target, dibs.WithSession(false), dibs.WithCodec(raw{}), ttl)
	value, err := dibs.Fetch(t.Context(), client, "k", returning("v"))
	want(t, value, err, "v")
	if span := its.rebuilt(t); span.Parent.IsValid() {
		t.Errorf("parent %v", span.Parent)
	}
}

func TestWithoutAnSDKOnlyWhatTheCallerNamesIsSent(t *testing.T) {
	for _, named := range []string{"", remote, "00-trace"} {
		options := []dibs.FetchOption{dibs.WithTraceparent(named)}
		its := startTracing(t)
		client := its.client(t, dibs.WithTracerProvider(noop.NewTracerProvider()))
		value, err := dibs.Fetch(t.Context(), client, "k", returning("v"), options...)
		want(t, value, err, "v")
		_, err = dibs.Fetch(t.Context(), client, "other", failing(errors.New("down")), append(options, dibs.WithWait(time.Second))...)
		if err == nil {
			t.Error("it did not fail")
		}
		its.mu.Lock()
		for method, sent := range its.sent {
			for _, got := range sent {
				if got != named {
					t.Errorf("%s with %q, want %q", method, got, named)
				}
			}
		}
		if count := len(its.sent["GetOrLock"]); named != "" && count != 2 {
			t.Errorf("%d questions with a traceparent", count)
		}
		its.mu.Unlock()
	}
}
