package dibs

import (
	"context"
	mathrand "math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// publishTimeout is shorter than a rebuild that is worth a lease, because the caller already has its value.
	publishTimeout = 2 * time.Second
	publishAgain   = 3
	publishPause   = 100 * time.Millisecond
)

// handOver publishes. The result counts for its own callers in any case, because the source has answered. A publish
// without an answer is retried in the background.
func (l *fetchLoop) handOver(ctx context.Context, lease *dibsv1.Lease, its made) result {
	got := result{value: its.value, isAbsent: its.isAbsent, err: its.err}
	request := l.publishRequest(lease, its)
	publishing := l.traced(context.WithoutCancel(ctx))
	response, err := l.publish(publishing, request)
	switch {
	case err == nil:
		l.metrics.rebuilt(l.id.namespace, publishedOr(response))
		got.isShared = countsForAll(response)
		return got
	case mayPublishAgain(err):
		l.life.spawnBehind(func() { l.publishBehind(publishing, lease, request, err) })
		return got
	default:
		l.notStorable(ctx, lease, err)
		return got
	}
}

func (l *fetchLoop) publishRequest(lease *dibsv1.Lease, its made) *dibsv1.PublishRequest {
	request := &dibsv1.PublishRequest{
		Namespace: l.namespace,
		Key:       l.id.key,
		Token:     lease.GetToken(),
		Payload:   &dibsv1.PublishRequest_Value{Value: its.value},
		TtlMs:     its.storing.ttlOf(its.isAbsent).Milliseconds(),
		StaleMs:   its.storing.staleFor.ms(),
		Tags:      its.storing.tags,
	}
	if its.isAbsent {
		request.Payload = &dibsv1.PublishRequest_Absent{Absent: true}
	}
	return request
}

// notStorable: the source has answered, and its answer is not dropped because it cannot be stored. The waiters are told
// of a failure, so that they do not all ask the source for the same.
func (l *fetchLoop) notStorable(ctx context.Context, lease *dibsv1.Lease, because *Error) {
	l.metrics.rebuilt(l.id.namespace, rebuildNotStored)
	tell(l.config.hooks.NotStorable, NotStorableEvent{l.event(), because})
	l.giveUp(ctx, lease, cutMessage(because.Message), nil)
}

// countsForAll reports whether callers that came after the lease may have the value: it is stored, and nothing was
// invalidated in the meantime. An older service does not say.
func countsForAll(response *dibsv1.PublishResponse) bool {
	return isStored(response.GetOutcome()) && response.GetCounts()
}

func isStored(outcome dibsv1.PublishOutcome) bool {
	switch outcome {
	case dibsv1.PublishOutcome_PUBLISH_OUTCOME_STORED,
		dibsv1.PublishOutcome_PUBLISH_OUTCOME_STORED_LATE,
		dibsv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE:
		return true
	default:
		return false
	}
}

func publishedOr(response *dibsv1.PublishResponse) string {
	if isStored(response.GetOutcome()) {
		return rebuildPublished
	}
	return rebuildNotStored
}

func (l *fetchLoop) publish(ctx context.Context, request *dibsv1.PublishRequest) (*dibsv1.PublishResponse, *Error) {
	over := l.many.turn()
	response, err := l.calls.Publish(ctx, request, within{timeout: publishTimeout})
	over()
	if l.near != nil {
		// Its event may come after this answer, or not at all if it was lost, and callers read their own writes.
		l.flights.changed(change{namespace: l.id.namespace, keys: []string{l.id.key}})
	}
	if err != nil {
		return nil, asError(err)
	}
	outcome := word(response.GetOutcome())
	trace.SpanFromContext(ctx).SetAttributes(publishedAttribute(outcome))
	tell(l.config.hooks.Publish, PublishEvent{l.event(), outcome, response.GetFence(), response.Counts, response.GetMaybeStored()})
	return response, nil
}

// publishBehind is safe to repeat: a publish that was already stored answers "duplicate". If the service answers and does
// not take the value, the lease is given back.
func (l *fetchLoop) publishBehind(ctx context.Context, lease *dibsv1.Lease, request *dibsv1.PublishRequest, err *Error) {
	for attempt := range publishAgain {
		pause(l.life.over, pauseBefore(attempt, err))
		var response *dibsv1.PublishResponse
		if response, err = l.publish(ctx, request); err == nil {
			l.metrics.rebuilt(l.id.namespace, publishedOr(response))
			return
		}
		if !mayPublishAgain(err) {
			l.notStorable(ctx, lease, err)
			return
		}
	}
	l.metrics.rebuilt(l.id.namespace, rebuildNotStored)
	l.tellBehind(err)
	// Without an answer, it may be stored.
	if !err.isUnreachable() {
		l.giveBack(ctx, lease)
	}
}

// pauseBefore is as long as the service asked, else doubled from attempt to attempt, and jittered.
func pauseBefore(attempt int, err *Error) time.Duration {
	if err.retryAfter >= 0 {
		return err.retryAfter
	}
	usual := publishPause << attempt
	return usual/2 + mathrand.N(usual)
}

// mayPublishAgain: its result is unknown, the service says when to retry, or there was no token at that moment.
func mayPublishAgain(err *Error) bool { return err.isUnreachable() || err.retryAfter >= 0 || err.isOwn }
