package dibs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// waitedMin: a wait that took less was none, but the answer's way over the network.
	waitedMin = 10 * time.Millisecond
	// pauseMin is between two questions, at the least, however soon the service says to come back.
	pauseMin = 10 * time.Millisecond
	// answerWay is what the answer's way may take, above the wait.
	answerWay = 2 * time.Second
	// brokenOffMax is how often in a row the service may break off before it counts as out of reach: a replica that was
	// killed ends its calls so, and the next attempt reaches another. Where there is none, it fails within milliseconds.
	brokenOffMax = 2
)

// fetchLoop is GetOrLock until there is a value, a failure, or no time left; rebuilding where a lease comes.
type fetchLoop struct {
	*Client
	fetchOptions
	key string
	// rebuild makes the bytes anew; [ErrAbsent] where the source has nothing.
	rebuild func(context.Context) ([]byte, error)
}

// localID is what a rebuild without the service is joined by.
type localID struct{ namespace, key string }

// run has all steps of one call. Its ctx ends when nobody waits any more.
func (l *fetchLoop) run(ctx context.Context) ([]byte, error) {
	ctx = l.withinTrace(ctx)
	until := time.Now().Add(l.wait.or(defaultWait))
	// The same for every attempt: a lease whose answer was lost on its way comes again.
	requestID := newUUID()
	brokenOff := 0
	for ctx.Err() == nil {
		asked := time.Now()
		response, err := l.ask(ctx, requestID, max(0, until.Sub(asked)))
		if ctx.Err() != nil && err != nil {
			break
		}
		if err != nil {
			err := asError(err)
			if err.isUnreachable() {
				brokenOff++
				if err.Code == codes.Unavailable && brokenOff < brokenOffMax {
					continue
				}
				return l.withoutService(ctx, err)
			}
			if err.retryAfter < 0 || !comeBack(ctx, err.retryAfter, until) {
				return nil, err
			}
			continue
		}
		brokenOff = 0
		waited := time.Since(asked)
		switch outcome := response.GetOutcome().(type) {
		case *dibsv1.GetOrLockResponse_Hit:
			if waited >= waitedMin {
				tell(l.config.hooks.Wait, WaitEvent{l.event(), waited, true})
			}
			return l.served(outcome.Hit)
		case *dibsv1.GetOrLockResponse_Lease:
			value, err := l.underLease(ctx, outcome.Lease)
			lost, isLost := as[lostError](err)
			if !isLost {
				return value, err
			}
			// A key that is invalidated faster than it is rebuilt must not hold its caller for ever.
			if !time.Now().Before(until) {
				return nil, lost.error
			}
		case *dibsv1.GetOrLockResponse_Failed:
			tell(l.config.hooks.Wait, WaitEvent{l.event(), waited, true})
			return nil, &RebuildFailedError{outcome.Failed.GetMessage(), milliseconds(outcome.Failed.GetRetryAfterMs())}
		default:
			// An outcome that a later service has is busy too: all that this one can say of it is that there is no answer.
			tell(l.config.hooks.Wait, WaitEvent{l.event(), waited, false})
			busy := busyError(response.GetBusy())
			if busy.endsHere() || !comeBack(ctx, busy.retryAfter, until) {
				return nil, busy
			}
		}
	}
	return nil, context.Cause(ctx)
}

func (l *fetchLoop) ask(ctx context.Context, requestID string, left time.Duration) (*dibsv1.GetOrLockResponse, error) {
	request := &dibsv1.GetOrLockRequest{
		Namespace: l.namespace,
		Key:       l.key,
		LeaseMs:   l.lease.ms(),
		Stale:     l.stale,
		Read:      l.read,
		RequestId: requestID,
		Holder:    l.config.holder,
		Intent:    dibsv1.Intent_INTENT_REBUILD,
	}
	if l.refresh {
		request.Intent = dibsv1.Intent_INTENT_REFRESH
	}
	// Where the caller names no wait, the deadline bounds it, and the service's own maximum.
	if l.wait.isNamed {
		request.WaitMs = proto.Int64(left.Milliseconds())
	}
	// Whoever has left must not stand in the service's queue, nor be given the lease.
	return l.calls.GetOrLock(tracedAs(ctx, l.traceparent), request, within{timeout: left + answerWay})
}

func (l *fetchLoop) event() Event { return Event{l.namespace, l.key} }

func (l *fetchLoop) served(hit *dibsv1.Hit) ([]byte, error) {
	freshness := "fresh"
	if hit.GetFreshness() == dibsv1.Freshness_FRESHNESS_STALE {
		freshness = "stale"
	}
	tell(l.config.hooks.Hit, HitEvent{l.event(), freshness})
	if value, ok := hit.GetPayload().(*dibsv1.Hit_Value); ok {
		return value.Value, nil
	}
	return nil, ErrAbsent
}

// underLease rebuilds, or serves what there is and rebuilds behind. It fails with a [lostError] where the rebuild gave
// up because its lease was lost.
func (l *fetchLoop) underLease(ctx context.Context, lease *dibsv1.Lease) ([]byte, error) {
	// There is something to serve meanwhile, and the caller does not insist on the newest.
	if lease.GetPrevious() == nil || l.refresh || l.revalidate == RevalidateAwait {
		return l.rebuildUnder(ctx, lease)
	}
	// What goes on in the background is nobody's wait, and ends by itself.
	behind, cancel := l.life.detached(ctx)
	l.life.spawn(func() {
		defer cancel(nil)
		_, err := l.rebuildUnder(behind, lease)
		if _, isLost := as[lostError](err); err != nil && !isLost && !errors.Is(err, ErrAbsent) {
			l.tellBehind(err)
		}
	})
	return l.served(lease.GetPrevious())
}

// withoutService: the service cannot be reached. One rebuild at a time in this process, or the error.
func (l *fetchLoop) withoutService(ctx context.Context, cause *Error) ([]byte, error) {
	if l.onUnavailable == OnUnavailableFail {
		return nil, cause
	}
	return l.local.join(ctx, localID{l.namespace, l.key}, func(ctx context.Context) ([]byte, error) {
		tell(l.config.hooks.LocalRebuild, LocalRebuildEvent{l.event(), cause})
		return l.guarded(withLease(ctx, Lease{Reason: "local", codec: l.codec}))
	})
}

func busyError(busy *dibsv1.Busy) *BusyError {
	return &BusyError{
		Reason:     BusyReason(word(busy.GetReason())),
		HolderAge:  milliseconds(busy.GetHolderAgeMs()),
		retryAfter: milliseconds(busy.GetRetryAfterMs()),
	}
}

// endsHere: waiting on is no use where the service said that the rebuild takes longer than the wait.
func (e *BusyError) endsHere() bool {
	return e.Reason == BusyDeadlineTooShort || e.Reason == BusyNoValue
}

// comeBack pauses as the service asked; false, at once, where the caller's time is over by then.
func comeBack(ctx context.Context, after time.Duration, until time.Time) bool {
	after = max(after, pauseMin+mathrand.N(pauseMin))
	if !time.Now().Add(after).Before(until) {
		return false
	}
	pause(ctx, after)
	return true
}

// newUUID is a random one, of version 4.
func newUUID() string {
	var id [16]byte
	// It never fails: where there is no chance, the process ends.
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
