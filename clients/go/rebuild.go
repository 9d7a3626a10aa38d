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
func (d *dance) rebuildUnder(ctx context.Context, lease *dibsv1.Lease) ([]byte, error) {
	if ctx.Err() != nil {
		// The lease was on its way when the last caller left.
		d.giveUp(ctx, lease, context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
	ctx, span := d.beginSpan(ctx, lease)
	value, err := d.rebuildAndHandOver(ctx, lease)
	endSpan(span, err)
	return value, err
}

func (d *dance) rebuildAndHandOver(ctx context.Context, lease *dibsv1.Lease) ([]byte, error) {
	value, lost, err := d.rebuildWhileHeld(ctx, lease)
	switch {
	case err == nil || errors.Is(err, ErrAbsent):
		if failed := d.handOver(ctx, lease, value, err != nil); failed != nil {
			return nil, failed
		}
		return value, err
	case lost:
		return nil, lostError{err}
	default:
		d.giveUp(ctx, lease, err)
		return nil, err
	}
}

// rebuildWhileHeld runs the rebuild, and keeps its lease meanwhile.
func (d *dance) rebuildWhileHeld(ctx context.Context, lease *dibsv1.Lease) (value []byte, lost bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(errRebuilt)
	lose := sync.OnceFunc(func() {
		// Where the rebuild has ended just now, or nobody waits for it any more, it is no loss.
		if ctx.Err() == nil {
			tell(d.config.hooks.LeaseLost, LeaseLostEvent{d.event()})
			end(ErrLeaseLost)
		}
	})
	defer d.held.watch(lease.GetToken(), lose)()
	d.life.spawn(func() {
		if keepLease(ctx, milliseconds(lease.GetExpiresInMs()), d.extend(lease)) {
			lose()
		}
	})
	value, err = d.guarded(withLease(ctx, Lease{
		Fence:    lease.GetFence(),
		Reason:   word(lease.GetReason()),
		previous: lease.GetPrevious(),
		codec:    d.codec,
	}))
	end(errRebuilt)
	return value, context.Cause(ctx) == ErrLeaseLost, err
}

// guarded runs the rebuild. Its panic is an error like any other, for the process is not this rebuild's alone; so is the
// end of its goroutine, which for that is its own.
func (d *dance) guarded(ctx context.Context) ([]byte, error) {
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
		value, err = d.rebuild(ctx)
	}()
	<-ended
	return value, err
}

func (d *dance) extend(lease *dibsv1.Lease) extend {
	return func(ctx context.Context, timeout time.Duration) (*dibsv1.ExtendResponse, error) {
		return d.calls.Extend(d.traced(ctx), &dibsv1.ExtendRequest{
			Namespace: d.namespace,
			Key:       d.key,
			Token:     lease.GetToken(),
			LeaseMs:   d.lease.ms(),
		}, within{timeout: timeout})
	}
}

// giveUp: a failure is everybody's; that the callers have gone is not one, and somebody else may try at once.
func (d *dance) giveUp(ctx context.Context, lease *dibsv1.Lease, because error) {
	request := &dibsv1.ReleaseRequest{Namespace: d.namespace, Key: d.key, Token: lease.GetToken()}
	if ctx.Err() == nil {
		request.Failure = &dibsv1.Failure{Message: failureMessage(because), RetryAfterMs: askedBackOff(because)}
	}
	if _, err := d.calls.Release(d.traced(context.WithoutCancel(ctx)), request, within{timeout: callTimeout}); err != nil {
		// The lease ends with its time; the error that counts is the rebuild's.
		d.tellBehind(err)
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
func (d *dance) handOver(ctx context.Context, lease *dibsv1.Lease, value []byte, absent bool) error {
	request := &dibsv1.PublishRequest{
		Namespace: d.namespace,
		Key:       d.key,
		Token:     lease.GetToken(),
		Payload:   &dibsv1.PublishRequest_Value{Value: value},
		TtlMs:     d.ttl.Milliseconds(),
		StaleMs:   d.staleFor.ms(),
		Tags:      d.tags,
	}
	if absent {
		request.Payload = &dibsv1.PublishRequest_Absent{Absent: true}
		request.TtlMs = d.absentTTL.or(d.ttl.Duration).Milliseconds()
	}
	publishing := d.traced(context.WithoutCancel(ctx))
	err := d.publish(publishing, request)
	if err == nil {
		return nil
	}
	if !mayPublishAgain(err) {
		d.giveUp(ctx, lease, err)
		return err
	}
	d.life.spawn(func() { d.publishBehind(publishing, request, err) })
	return nil
}

func (d *dance) publish(ctx context.Context, request *dibsv1.PublishRequest) *Error {
	response, err := d.calls.Publish(ctx, request, within{timeout: publishTimeout})
	if err != nil {
		return asError(err)
	}
	outcome := word(response.GetOutcome())
	trace.SpanFromContext(ctx).SetAttributes(publishedAttribute(outcome))
	tell(d.config.hooks.Publish, PublishEvent{d.event(), outcome, response.GetFence()})
	return nil
}

// publishBehind is safe to repeat: what was stored already is answered with "duplicate".
func (d *dance) publishBehind(ctx context.Context, request *dibsv1.PublishRequest, err *Error) {
	for attempt := range publishAgain {
		pause(d.life.over, pauseBefore(attempt, err))
		if err = d.publish(ctx, request); err == nil {
			return
		}
		if !mayPublishAgain(err) {
			break
		}
	}
	d.tellBehind(err)
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

func (d *dance) tellBehind(err error) {
	tell(d.config.hooks.BackgroundError, BackgroundErrorEvent{d.event(), err})
}
