package dibs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// waitedMin: a shorter wait does not count as one. It is the answer's way over the network.
	waitedMin = 10 * time.Millisecond
	// pauseMin is the shortest pause between two requests, however soon the service allows a retry.
	pauseMin = 10 * time.Millisecond
	// answerWay is what an answer may take on its way, in addition to the wait.
	answerWay = 2 * time.Second
	// brokenOffMax is how often in a row the service may break off a call before it counts as unreachable. A replica that
	// was killed ends its calls like this, and the next attempt reaches another one. If there is none, it fails within
	// milliseconds.
	brokenOffMax = 2
	// waitMaxUsual is how long the service waits by default. A longer wait is asked for in pieces.
	waitMaxUsual = 30 * time.Second
	// pieceMin: an answer that came sooner did not end a piece of a long wait, so the next request is not sent at once.
	pieceMin = 500 * time.Millisecond
)

// fetchLoop repeats GetOrLock until there is a value, a failure, or no time left. It rebuilds if it gets a lease.
type fetchLoop struct {
	*Client
	fetchOptions
	id valueID
	// calledAt is when its caller came.
	calledAt time.Time
	// until is when its caller's wait is over.
	until time.Time
	// rebuild rebuilds the bytes; [ErrAbsent] if the source has nothing.
	rebuild func(context.Context) ([]byte, error)
	// decode decodes the value for the caller.
	decode func([]byte) error
	// isReadable reports whether decode would succeed.
	isReadable func([]byte) bool
	// unreadable is what a refresh must replace; nil for all other calls.
	unreadable *unreadable
	// isGet: it only reads, and gets no lease.
	isGet bool
	// setting is stored under the lease instead of a rebuild's result; nil for all other calls.
	setting *setting
	// many are the other keys of its call; nil if there are none.
	many *manyKeys
	// first is its first answer, which is requested together with those of other keys; nil if it asks by itself.
	first *firstAnswer

	// requestID is the same for every attempt until a lease comes, so that a lease whose answer was lost is granted again.
	requestID string
	// brokenOff is how often in a row the service has broken off.
	brokenOff int
	// isWaitRefused: the last request was refused because its wait is longer than this service allows.
	isWaitRefused bool
	// isInPieces: the last request left the length of the wait to the service.
	isInPieces bool
	// isBehind: a rebuild continues without its caller.
	isBehind bool
}

// run performs all steps of one call. Its ctx ends when no caller waits any more.
func (l *fetchLoop) run(ctx context.Context, its *flight) result {
	ctx = l.withinTrace(ctx)
	if l.requestID == "" {
		l.requestID = newUUID()
	}
	// A first answer is read or left, even if the caller has already gone, because it may carry a lease.
	for l.first != nil || ctx.Err() == nil {
		answer := l.answer(ctx, its)
		if err := answer.err; err != nil {
			if ctx.Err() != nil {
				break
			}
			if got, asksAgain := l.unanswered(ctx, its, asError(err)); !asksAgain {
				return got
			}
			continue
		}
		l.answers()
		if l.near != nil {
			l.near.answered(its.id.valueID)
		}
		if got, asksAgain := l.answered(ctx, its, answer.response, answer.waited); !asksAgain {
			return got
		}
	}
	return result{err: context.Cause(ctx)}
}

// answer returns the answer to the next request.
func (l *fetchLoop) answer(ctx context.Context, its *flight) keyAnswer {
	if first := l.first; first != nil {
		l.first = nil
		// It was already retried if that made sense.
		l.brokenOff = brokenOffMax - 1
		got := first.await(ctx)
		l.isInPieces = got.isInPieces
		return got
	}
	asked := time.Now()
	response, err := l.ask(ctx, its)
	return keyAnswer{response: response, err: err, waited: time.Since(asked), isInPieces: l.isInPieces}
}

func (l *fetchLoop) ask(ctx context.Context, its *flight) (*dibsv1.GetOrLockResponse, error) {
	l.many.settle(l.id.key)
	left := max(0, time.Until(l.until))
	request := &dibsv1.GetOrLockRequest{
		Namespace: l.namespace,
		Key:       l.id.key,
		LeaseMs:   l.lease.ms(),
		Stale:     l.stale,
		Read:      l.read,
		RequestId: l.requestID,
		Holder:    l.config.holder,
		Intent:    dibsv1.Intent_INTENT_REBUILD,
	}
	if l.refresh {
		request.Intent = dibsv1.Intent_INTENT_REFRESH
	}
	if l.isGet {
		request.Intent = dibsv1.Intent_INTENT_READ
	}
	// If no wait is sent, the deadline and the service's maximum bound it.
	l.isInPieces = !l.wait.isNamed || left > waitMaxUsual || l.isWaitRefused
	l.isWaitRefused = false
	if !l.isInPieces {
		request.WaitMs = proto.Int64(left.Milliseconds())
	}
	l.flights.asks(its)
	// Callers that have left must not stay in the service's queue, nor get the lease.
	return l.calls.GetOrLock(tracedAs(ctx, l.traceparent), request,
		within{timeout: left + answerWay}, sending{tell: func(isWatched bool) { l.flights.sent(its, isWatched) }})
}

// answers is called for every answer, even an error: the service is there.
func (l *fetchLoop) answers() {
	l.brokenOff = 0
	if l.presence.answers() {
		l.local.forget()
		if l.near != nil {
			l.near.forget()
		}
	}
}

// unanswered handles a request that ended with an error.
func (l *fetchLoop) unanswered(ctx context.Context, its *flight, err *Error) (got result, asksAgain bool) {
	if err.isUnreachable() {
		l.brokenOff++
		if err.Code == codes.Unavailable && l.brokenOff < brokenOffMax {
			return result{}, true
		}
		return l.withoutService(ctx, its, err), false
	}
	if !err.isOwn {
		l.answers()
	}
	if err.Code == codes.InvalidArgument && strings.HasPrefix(err.Message, "wait_ms:") && !l.isInPieces {
		l.isWaitRefused = true
		return result{}, true
	}
	return result{err: err}, err.retryAfter >= 0 && waitToRetry(ctx, err.retryAfter, l.until)
}

func (l *fetchLoop) answered(ctx context.Context, its *flight, response *dibsv1.GetOrLockResponse, waited time.Duration) (got result, asksAgain bool) {
	switch outcome := response.GetOutcome().(type) {
	case *dibsv1.GetOrLockResponse_Hit:
		if l.setting != nil {
			// It does not answer a write. The next request does.
			return result{err: waitEnded()}, waitToRetry(ctx, pauseMin, l.until)
		}
		if waited >= waitedMin {
			l.tellWait(waited, true)
		}
		got := l.served(outcome.Hit)
		l.flights.fill(its, outcome.Hit, got)
		return got, false
	case *dibsv1.GetOrLockResponse_Lease:
		got := l.underLease(ctx, its, outcome.Lease)
		// The same request would get a lease back that was given up.
		l.requestID = newUUID()
		// A key that is invalidated faster than it is rebuilt must not hold its caller forever.
		return got, got.isLost && time.Now().Before(l.until)
	case *dibsv1.GetOrLockResponse_Failed:
		l.tellWait(waited, true)
		return result{err: &RebuildFailedError{outcome.Failed.GetMessage(), milliseconds(outcome.Failed.GetRetryAfterMs())}}, false
	default:
		// An outcome of a later service is busy too, because this version only knows that there is no answer. A read that
		// finds nothing has waited for no caller.
		if !l.isGet || waited >= waitedMin {
			l.tellWait(waited, false)
		}
		busy := busyError(response.GetBusy())
		return result{err: busy}, l.waitsOn(ctx, busy, waited)
	}
}

// waitsOn pauses as the service asked, unless only a piece of the wait is over.
func (l *fetchLoop) waitsOn(ctx context.Context, busy *BusyError, waited time.Duration) bool {
	// Waiting longer makes no sense if the rebuild takes longer than the wait. It may take longer than a piece.
	if busy.Reason == BusyNoValue || busy.Reason == BusyDeadlineTooShort && !l.isInPieces {
		return false
	}
	if l.isInPieces && busy.Reason == BusyWaitEnded && waited >= pieceMin && time.Now().Before(l.until) {
		return true
	}
	return waitToRetry(ctx, busy.retryAfter, l.until)
}

func (l *fetchLoop) tellWait(waited time.Duration, isAnswered bool) {
	l.metrics.waited(l.id.namespace, waited)
	tell(l.config.hooks.Wait, WaitEvent{l.event(), waited, isAnswered})
}

func (l *fetchLoop) event() Event { return Event{l.namespace, l.id.key} }

func (l *fetchLoop) served(hit *dibsv1.Hit) result {
	got := result{fence: hit.GetFence(), source: hitService}
	freshness := "fresh"
	if hit.GetFreshness() == dibsv1.Freshness_FRESHNESS_STALE {
		freshness, got.isStale = "stale", true
	}
	tell(l.config.hooks.Hit, HitEvent{l.event(), freshness, false})
	if value, ok := hit.GetPayload().(*dibsv1.Hit_Value); ok {
		got.value = value.Value
	} else {
		got.isAbsent, got.err = true, ErrAbsent
	}
	return got
}

// underLease rebuilds, or serves the previous value and rebuilds in the background.
func (l *fetchLoop) underLease(ctx context.Context, its *flight, lease *dibsv1.Lease) result {
	previous := lease.GetPrevious()
	if l.isGet {
		// No service grants it.
		l.giveBack(ctx, lease)
		return result{err: waitEnded()}
	}
	if l.setting != nil {
		return l.store(ctx, lease)
	}
	if l.isReplaced(previous) {
		l.giveBack(ctx, lease)
		return l.served(previous)
	}
	running := &runningRebuild{
		id:          l.id,
		hasPrevious: previous != nil,
		stale:       l.stale,
		isRefresh:   isRefresh(lease.GetReason()),
		ended:       make(chan struct{}),
	}
	// There is a value to serve in the meantime, and the caller does not insist on the newest.
	if previous != nil && !l.refresh && l.revalidate == RevalidateBackground {
		l.flights.leased(its, running)
		l.isBehind = true
		l.rebuildBehind(ctx, lease, running)
		return l.served(previous)
	}
	running.flight = its
	l.flights.leased(its, running)
	got := l.rebuildUnder(ctx, lease, running)
	if got.isFailure() && !got.isLost && l.isServable(previous) && l.revalidate == RevalidateAwaitElseStale && ctx.Err() == nil {
		l.tellBehind(got.err)
		return l.served(previous)
	}
	return got
}

// rebuildBehind rebuilds in the background. It delays no caller and ends by itself.
func (l *fetchLoop) rebuildBehind(ctx context.Context, lease *dibsv1.Lease, running *runningRebuild) {
	behind, cancel := l.life.detached(ctx)
	l.life.spawnBehind(func() {
		defer cancel(nil)
		if got := l.rebuildUnder(behind, lease, running); got.isFailure() && !got.isLost {
			l.tellBehind(got.err)
		}
	})
}

// isReplaced reports that another caller has already rebuilt what could not be read.
func (l *fetchLoop) isReplaced(previous *dibsv1.Hit) bool {
	if l.unreadable == nil || previous.GetFence() <= l.unreadable.fence || previous.GetFreshness() != dibsv1.Freshness_FRESHNESS_FRESH {
		return false
	}
	return l.isServable(previous)
}

// isServable reports whether there is a previous value, and not the one that cannot be read: its error would hide that of
// the rebuild.
func (l *fetchLoop) isServable(previous *dibsv1.Hit) bool {
	if previous == nil || l.unreadable == nil {
		return previous != nil
	}
	value, ok := previous.GetPayload().(*dibsv1.Hit_Value)
	return !ok || l.isReadable(value.Value)
}

// isRefresh: the service may serve a fresh value during such a rebuild.
func isRefresh(reason dibsv1.LeaseReason) bool {
	return reason == dibsv1.LeaseReason_LEASE_REASON_REFRESH || reason == dibsv1.LeaseReason_LEASE_REASON_EARLY_REFRESH
}

func busyError(busy *dibsv1.Busy) *BusyError {
	return &BusyError{
		Reason:     BusyReason(word(busy.GetReason())),
		HolderAge:  milliseconds(busy.GetHolderAgeMs()),
		retryAfter: milliseconds(busy.GetRetryAfterMs()),
	}
}

// waitToRetry pauses as the service asked. It returns false at once if the caller's time is over by then.
func waitToRetry(ctx context.Context, after time.Duration, until time.Time) bool {
	after = max(after, pauseMin+mathrand.N(pauseMin))
	if !time.Now().Add(after).Before(until) {
		return false
	}
	pause(ctx, after)
	return true
}

// newUUID returns a random UUID, version 4.
func newUUID() string {
	var id [16]byte
	// It never fails: without randomness, the process ends.
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
