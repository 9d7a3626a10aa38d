package dibs

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// backOffMax is the contract's bound.
const backOffMax = 5 * time.Minute

// errEnded is the outcome of a rebuild that ended its goroutine, like the FailNow of a test.
var errEnded = errors.New("dibs: the rebuild ended its goroutine")

// errHookEnded is the outcome of a call whose hook ended the goroutine.
var errHookEnded = errors.New("dibs: a hook ended its goroutine")

// errRebuilt ends what runs only during a rebuild.
var errRebuilt = errors.New("dibs: the rebuild has ended")

// rebuildUnder rebuilds and publishes the result. ctx ends when no caller waits any more.
func (l *fetchLoop) rebuildUnder(ctx context.Context, lease *dibsv1.Lease, running *runningRebuild) result {
	if ctx.Err() != nil {
		// The lease was on its way when the last caller left.
		l.flights.seal(running)
		l.giveBack(ctx, lease)
		got := result{err: context.Cause(ctx)}
		l.flights.end(running, got)
		return got
	}
	ctx, span := l.beginSpan(ctx, lease)
	got := result{err: errHookEnded}
	// Also if a hook has ended this goroutine.
	defer func() {
		endSpan(span, got)
		l.flights.end(running, got)
	}()
	got = l.rebuildAndHandOver(ctx, lease, running)
	return got
}

func (l *fetchLoop) rebuildAndHandOver(ctx context.Context, lease *dibsv1.Lease, running *runningRebuild) result {
	heldMax := time.Now().Add(l.config.leaseHoldMax)
	made, isLost := l.rebuildWhileHeld(ctx, lease, running)
	if isLost {
		l.metrics.rebuilt(l.id.namespace, rebuildLost)
		l.metrics.count(l.metrics.leasesLost, l.id.namespace)
		// Not where the loss is reported: a hook that calls the service would hold up the session that reads its answer.
		tell(l.config.hooks.LeaseLost, LeaseLostEvent{l.event()})
		if !time.Now().Before(heldMax) {
			// The service believes that it is held. Others need not wait until it expires.
			l.life.spawnBehind(func() { l.giveBack(ctx, lease) })
		}
		return result{err: ErrLeaseLost, isLost: true}
	}
	// A publish that is stored, then invalidated, and only then answered must not feed callers that came after the
	// invalidation.
	l.flights.seal(running)
	switch {
	case made.err != nil && !made.isAbsent:
		l.metrics.rebuilt(l.id.namespace, rebuildFailed)
		isReleased := l.giveUp(ctx, lease, made.message, made.backOff)
		return result{err: made.err, isShared: isReleased && ctx.Err() == nil}
	case made.storing.refusal == errNotStored:
		l.metrics.rebuilt(l.id.namespace, rebuildNotStored)
		l.giveBack(ctx, lease)
		return result{value: made.value, isAbsent: made.isAbsent, err: made.err}
	case made.storing.refusal != nil:
		l.notStorable(ctx, lease, asError(made.storing.refusal))
		return result{value: made.value, isAbsent: made.isAbsent, err: made.err}
	default:
		return l.handOver(ctx, lease, made)
	}
}

// rebuildWhileHeld runs the rebuild and keeps its lease. If the lease is lost, or the client closed, it does not wait
// for the rebuild, whose result would not count.
func (l *fetchLoop) rebuildWhileHeld(ctx context.Context, lease *dibsv1.Lease, running *runningRebuild) (its made, isLost bool) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(errRebuilt)
	lost := make(chan struct{})
	lose := sync.OnceFunc(func() {
		// Newcomers first, because they must not join what is over.
		l.flights.seal(running)
		// If the rebuild has just ended, or no caller waits for it any more, it is no loss.
		if ctx.Err() == nil {
			end(ErrLeaseLost)
			close(lost)
		}
	})
	defer l.held.watch(lease.GetToken(), lose)()
	l.life.spawn(func() {
		if keepLease(ctx, running.sentAt, milliseconds(lease.GetExpiresInMs()), l.config.leaseHoldMax, l.extend(lease)) {
			lose()
		}
	})
	ended := l.guarded(withLease(ctx, Lease{
		Fence:    lease.GetFence(),
		Reason:   word(lease.GetReason()),
		previous: lease.GetPrevious(),
		codec:    l.codec,
	}))
	select {
	case its = <-ended:
	case <-lost:
		// If the last caller leaves at this moment, that is the cause, and nothing was made.
		its = made{err: ErrLeaseLost}
	case <-l.life.over.Done():
		its = made{err: errClosed}
	}
	end(errRebuilt)
	return its, context.Cause(ctx) == ErrLeaseLost
}

// guarded runs the rebuild in its own goroutine, and sends its result. A panic is an error like any other, because the
// process does not belong to this rebuild alone. So is the end of the goroutine.
func (l *fetchLoop) guarded(ctx context.Context) <-chan made {
	slot := &storingSlot{its: l.storing}
	ctx = withStoring(withRebuilding(ctx, l.Client, l.id), slot)
	ended := make(chan made, 1)
	go func() {
		var value []byte
		err := errEnded
		// Last of all: what it reads of the error is the user's code too, and may end the goroutine.
		its := made{err: errEnded, message: errEnded.Error()}
		defer func() { ended <- its }()
		defer func() {
			if panicked := recover(); panicked != nil {
				err = &PanicError{panicked, debug.Stack()}
			}
			its = madeBy(value, err, slot.get())
		}()
		value, err = l.rebuild(ctx)
	}()
	return ended
}

func (l *fetchLoop) extend(lease *dibsv1.Lease) extend {
	return func(ctx context.Context, timeout time.Duration) (*dibsv1.ExtendResponse, error) {
		defer l.many.turn()()
		return l.calls.Extend(l.traced(ctx), &dibsv1.ExtendRequest{
			Namespace: l.namespace,
			Key:       l.id.key,
			Token:     lease.GetToken(),
			LeaseMs:   l.lease.ms(),
		}, within{timeout: timeout})
	}
}

// giveUp tells the waiters of a failure, and reports whether they get it. If the callers have left, or the client was
// closed, that is not a failure, and another caller may try at once.
func (l *fetchLoop) giveUp(ctx context.Context, lease *dibsv1.Lease, message string, backOffMs *int64) (isReleased bool) {
	// Close ends ctx a moment later.
	if ctx.Err() != nil || l.life.isOver() {
		l.giveBack(ctx, lease)
		return false
	}
	return l.release(ctx, lease, &dibsv1.Failure{Message: message, RetryAfterMs: backOffMs})
}

// giveBack lets another caller try at once.
func (l *fetchLoop) giveBack(ctx context.Context, lease *dibsv1.Lease) { l.release(ctx, lease, nil) }

func (l *fetchLoop) release(ctx context.Context, lease *dibsv1.Lease, failure *dibsv1.Failure) (isReleased bool) {
	request := &dibsv1.ReleaseRequest{Namespace: l.namespace, Key: l.id.key, Token: lease.GetToken(), Failure: failure}
	defer l.many.turn()()
	response, err := l.calls.Release(l.traced(context.WithoutCancel(ctx)), request, within{timeout: callTimeout})
	if err != nil {
		// The lease expires by itself. The error that counts is the rebuild's.
		l.tellBehind(err)
	}
	return response.GetOutcome() == dibsv1.ReleaseOutcome_RELEASE_OUTCOME_RELEASED
}

// askedBackOff: an error may set how long to leave the source alone, in whole milliseconds.
func askedBackOff(err error) (ms *int64) {
	// It is the user's own method, which may panic.
	defer func() {
		if recover() != nil {
			ms = nil
		}
	}()
	var asked interface{ RetryAfter() time.Duration }
	if !errors.As(err, &asked) {
		return nil
	}
	after := asked.RetryAfter()
	if after < 0 || after > backOffMax {
		return nil
	}
	whole := after.Milliseconds()
	return &whole
}

func (l *fetchLoop) tellBehind(err error) {
	tell(l.config.hooks.BackgroundError, BackgroundErrorEvent{l.event(), err})
}
