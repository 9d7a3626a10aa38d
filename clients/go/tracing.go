package dibs

import (
	"cmp"
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// tracerName is the source of the client's spans.
	tracerName = "github.com/dibs-cache/dibs/clients/go"
	// traceparentHeader is its name in W3C Trace Context.
	traceparentHeader = "traceparent"
)

// traceparentOf returns the W3C traceparent of the span of ctx; empty, and at no cost, if there is none.
func traceparentOf(ctx context.Context) string {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return ""
	}
	return "00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-" + span.TraceFlags().String()
}

// withinTrace returns ctx in the span that the caller names, instead of its current one. Text that is no traceparent
// has no effect.
func (l *fetchLoop) withinTrace(ctx context.Context) context.Context {
	if l.traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparentHeader: l.traceparent})
}

// tracedAs passes on the traceparent, or, if it is empty, that of the span of ctx; and nothing else that the context
// may carry for other services.
func tracedAs(ctx context.Context, traceparent string) context.Context {
	sent := metadata.MD{}
	if traceparent != "" {
		sent.Set(traceparentHeader, traceparent)
	}
	return metadata.NewOutgoingContext(ctx, sent)
}

// traced is for the calls of a rebuild. Its span takes precedence over the one that the caller named, because it is a
// child of that.
func (l *fetchLoop) traced(ctx context.Context) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return tracedAs(ctx, "")
	}
	return tracedAs(ctx, l.traceparent)
}

// beginSpan begins the span of a rebuild. It does not name the key, because keys may be personal data.
func (l *fetchLoop) beginSpan(ctx context.Context, lease *dibsv1.Lease) (context.Context, trace.Span) {
	return l.config.tracer.Start(ctx, "dibs.rebuild", trace.WithAttributes(
		attribute.String("dibs.namespace", cmp.Or(l.namespace, "default")),
		attribute.String("dibs.lease.reason", word(lease.GetReason())),
		attribute.Int64("dibs.fence", lease.GetFence()),
	))
}

// endSpan ends the span. An absence is a result like any other.
func endSpan(span trace.Span, its result) {
	defer span.End()
	// Recording calls methods of the user's error.
	defer func() { _ = recover() }()
	if its.isFailure() {
		span.SetStatus(codes.Error, textOf(its.err))
		span.RecordError(its.err)
	}
}

func publishedAttribute(outcome string) attribute.KeyValue {
	return attribute.String("dibs.publish.outcome", outcome)
}
