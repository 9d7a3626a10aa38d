package dibs

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// publishTimeout is shorter than a rebuild that is worth a lease: nobody waits longer for what they have already.
	publishTimeout = 2 * time.Second
	publishAgain   = 3
	publishPause   = 100 * time.Millisecond
	// backOffMax is the contract's bound.
	backOffMax = 5 * time.Minute
)

// errEnded is the outcome of a rebuild that ended its goroutine, as the FailNow of a test does.
var errEnded = errors.New("dibs: the rebuild ended its goroutine")

// errRebuilt ends what only runs beside a rebuild.
var errRebuilt = errors.New("dibs: the rebuild has ended")

// lostError is what a rebuild returned that gave up because its lease was lost: somebody else may have the value by now.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// rebuildUnder rebuilds and hands the result over. It fails with what the rebuild returned, after the waiters were told.
// The result counts for its own caller whatever became of the publish. ctx ends when nobody waits any more.
func (l *fetchLoop) rebuildUnder(ctx context.Context, lease *dibsv1.Lease) ([]byte, error) {
	if ctx.Err() != nil {
		// The lease was on its way when the last caller left.
		l.giveUp(ctx, lease, context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
	ctx, span := l.beginSpan(ctx, lease)
	value, err := l.rebuildAndHandOver(ctx, lease)
	endSpan(span, err)
	return value, err
}

func (l *fetchLoop) rebuildAndHandOver(ctx context.Context, lease *dibsv1.Lease) ([]byte, error) {
	value, lost, err := l.rebuildWhileHeld(ctx, lease)
	switch {
	case err == nil || errors.Is(err, ErrAbsent):
		if failed := l.handOver(ctx, lease, value, err != nil); failed != nil {
			return nil, failed
		}
		return value, err
	case lost:
		return nil, lostError{err}
	default:
		l.giveUp(ctx, lease, err)
		return nil, err
	}
}

// rebuildWhileHeld runs the rebuild, and keeps its lease meanwhile.
func (l *fetchLoop) rebuildWhileHeld(ctx context.Context, lease *dibsv1.Lease) (value []byte, lost bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(errRebuilt)
	lose := sync.OnceFunc(func() {
		// Where the rebuild has ended just now, or nobody waits for it any more, it is no loss.
		if ctx.Err() == nil {
			tell(l.config.hooks.LeaseLost, LeaseLostEvent{l.event()})
			end(ErrLeaseLost)
		}
	})
	defer l.held.watch(lease.GetToken(), lose)()
	l.life.spawn(func() {
		if keepLease(ctx, milliseconds(lease.GetExpiresInMs()), l.extend(lease)) {
			lose()
		}
	})
	value, err = l.guarded(withLease(ctx, Lease{
		Fence:    lease.GetFence(),
		Reason:   word(lease.GetReason()),
		previous: lease.GetPrevious(),
		codec:    l.codec,
	}))
	end(errRebuilt)
	return value, context.Cause(ctx) == ErrLeaseLost, err
}

// guarded runs the rebuild. Its panic is an error like any other, for the process is not this rebuild's alone; so is the
// end of its goroutine, which for that is its own.
func (l *fetchLoop) guarded(ctx context.Context) ([]byte, error) {
	var value []byte
	err := errEnded
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if panicked := recover(); panicked != nil {
				err = &PanicError{panicked, debug.Stack()}
			}
		}()
		value, err = l.rebuild(ctx)
	}()
	<-ended
	return value, err
}

func (l *fetchLoop) extend(lease *dibsv1.Lease) extend {
	return func(ctx context.Context, timeout time.Duration) (*dibsv1.ExtendResponse, error) {
		return l.calls.Extend(l.traced(ctx), &dibsv1.ExtendRequest{
			Namespace: l.namespace,
			Key:       l.key,
			Token:     lease.GetToken(),
			LeaseMs:   l.lease.ms(),
		}, within{timeout: timeout})
	}
}

// giveUp: a failure is everybody's; that the callers have gone is not one, and somebody else may try at once.
func (l *fetchLoop) giveUp(ctx context.Context, lease *dibsv1.Lease, because error) {
	request := &dibsv1.ReleaseRequest{Namespace: l.namespace, Key: l.key, Token: lease.GetToken()}
	if ctx.Err() == nil {
		request.Failure = &dibsv1.Failure{Message: failureMessage(because), RetryAfterMs: askedBackOff(because)}
	}
	if _, err := l.calls.Release(l.traced(context.WithoutCancel(ctx)), request, within{timeout: callTimeout}); err != nil {
		// The lease ends with its time; the error that counts is the rebuild's.
		l.tellBehind(err)
	}
}

// askedBackOff: an error may say how long the source should be left alone, in whole milliseconds.
func askedBackOff(err error) *int64 {
	var asked interface{ RetryAfter() time.Duration }
	if !errors.As(err, &asked) || asked.RetryAfter() < 0 || asked.RetryAfter() > backOffMax {
		return nil
	}
	return proto.Int64(asked.RetryAfter().Milliseconds())
}

// handOver publishes. A fault of the caller's, such as a value beyond the bound, is its error; anything else is tried
// again behind.
func (l *fetchLoop) handOver(ctx context.Context, lease *dibsv1.Lease, value []byte, absent bool) error {
	request := &dibsv1.PublishRequest{
		Namespace: l.namespace,
		Key:       l.key,
		Token:     lease.GetToken(),
		Payload:   &dibsv1.PublishRequest_Value{Value: value},
		TtlMs:     l.ttl.Milliseconds(),
		StaleMs:   l.staleFor.ms(),
		Tags:      l.tags,
	}
	if absent {
		request.Payload = &dibsv1.PublishRequest_Absent{Absent: true}
		request.TtlMs = l.absentTTL.or(l.ttl.Duration).Milliseconds()
	}
	publishing := l.traced(context.WithoutCancel(ctx))
	err := l.publish(publishing, request)
	if err == nil {
		return nil
	}
	if !mayPublishAgain(err) {
		l.giveUp(ctx, lease, err)
		return err
	}
	l.life.spawn(func() { l.publishBehind(publishing, request, err) })
	return nil
}

func (l *fetchLoop) publish(ctx context.Context, request *dibsv1.PublishRequest) *Error {
	response, err := l.calls.Publish(ctx, request, within{timeout: publishTimeout})
	if err != nil {
		return asError(err)
	}
	outcome := word(response.GetOutcome())
	trace.SpanFromContext(ctx).SetAttributes(publishedAttribute(outcome))
	tell(l.config.hooks.Publish, PublishEvent{l.event(), outcome, response.GetFence()})
	return nil
}

// publishBehind is safe to repeat: what was stored already is answered with "duplicate".
func (l *fetchLoop) publishBehind(ctx context.Context, request *dibsv1.PublishRequest, err *Error) {
	for attempt := range publishAgain {
		pause(l.life.over, pauseBefore(attempt, err))
		if err = l.publish(ctx, request); err == nil {
			return
		}
		if !mayPublishAgain(err) {
			break
		}
	}
	l.tellBehind(err)
}

// pauseBefore is as long as the service asked, else doubled from attempt to attempt, and jittered.
func pauseBefore(attempt int, err *Error) time.Duration {
	if err.retryAfter >= 0 {
		return err.retryAfter
	}
	usual := publishPause << attempt
	return usual/2 + mathrand.N(usual)
}

func mayPublishAgain(err *Error) bool { return err.isUnreachable() || err.retryAfter >= 0 }

func (l *fetchLoop) tellBehind(err error) {
	tell(l.config.hooks.BackgroundError, BackgroundErrorEvent{l.event(), err})
}
