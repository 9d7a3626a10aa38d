package dibs

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// askedKeysMax is the contract's bound for one request.
	askedKeysMax = 1000
	// lookMax is how long keys with an immediate lease wait for keys that the service has not decided.
	lookMax   = time.Second
	lookPause = 20 * time.Millisecond
)

// firstAnswer is the first answer for a key that is asked for together with others.
type firstAnswer struct {
	steps *fetchLoop
	// flight is the key's flight, which receives changes.
	flight *flight
	// come is closed when the answer is there; its is written before.
	come chan struct{}
	its  keyAnswer

	mu sync.Mutex
	// isLeft: no caller will read it.
	isLeft bool
}

// keyAnswer is the result of a request for one key.
type keyAnswer struct {
	response *dibsv1.GetOrLockResponse
	err      error
	waited   time.Duration
	// isInPieces: the length of the wait was left to the service.
	isInPieces bool
}

func (a *firstAnswer) await(ctx context.Context) keyAnswer {
	select {
	case <-a.come:
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		select {
		case <-a.come:
		default:
			a.isLeft = true
			return keyAnswer{err: contextError(ctx)}
		}
	}
	return a.its
}

// manyAnswers asks for the first answer of each of many keys. The first request does not wait, so that all available
// leases come at once and their keys are rebuilt together. Then one call waits for the keys that other callers rebuild.
type manyAnswers struct {
	*Client
	fetchOptions
	until     time.Time
	requestID string
	keys      *manyKeys
	// Written before it asks.
	open map[string]*firstAnswer
}

// ask ends when each key has its answer.
func (m *manyAnswers) ask(ctx context.Context) {
	var keys []string
	for key := range m.open {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	groups := [][]string{keys}
	if m.sessions != nil {
		groups = m.sessions.groups(keys)
	}
	var pieces sync.WaitGroup
	for _, group := range groups {
		for piece := range slices.Chunk(group, askedKeysMax) {
			pieces.Go(func() { m.askPiece(ctx, piece) })
		}
	}
	pieces.Wait()
}

func (m *manyAnswers) askPiece(ctx context.Context, keys []string) {
	// An answer that hangs must not keep the leases that have come waiting.
	defer time.AfterFunc(lookMax, func() { m.settle(keys) }).Stop()
	if m.wait.isNamed && m.wait.Duration == 0 {
		m.pass(ctx, keys, false)
		return
	}
	held := m.look(ctx, keys)
	m.settle(held)
	if len(held) > 0 {
		m.pass(ctx, held, false)
	}
}

// settle is called for keys that are rebuilt later, if at all.
func (m *manyAnswers) settle(keys []string) {
	for _, key := range keys {
		m.keys.settle(key)
	}
}

// look asks without a wait, and again while no other caller has the lease of a key: a service under load has not
// decided all of a thousand keys at once. It returns the keys to wait for.
func (m *manyAnswers) look(ctx context.Context, keys []string) (held []string) {
	until := time.Now().Add(lookMax)
	if m.until.Before(until) {
		until = m.until
	}
	for {
		busy := m.pass(ctx, keys, true)
		keys = nil
		for key, reason := range busy {
			if reason == dibsv1.BusyReason_BUSY_REASON_UNDECIDED {
				keys = append(keys, key)
			} else {
				held = append(held, key)
			}
		}
		if len(keys) == 0 || !time.Now().Before(until) || ctx.Err() != nil {
			return append(held, keys...)
		}
		pause(ctx, lookPause)
	}
}

// pass is one call, and another one if it breaks off. It returns the busy keys, which a look does not settle.
func (m *manyAnswers) pass(ctx context.Context, keys []string, isLook bool) (busy map[string]dibsv1.BusyReason) {
	left := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		left[key] = struct{}{}
	}
	busy = make(map[string]dibsv1.BusyReason)
	for brokenOff := 1; ; brokenOff++ {
		asked, isInPieces := time.Now(), m.isInPieces()
		err := m.call(ctx, slices.Sorted(maps.Keys(left)), isLook, func(answer *dibsv1.GetOrLockManyResponse) {
			key, outcome := answer.GetKey(), answer.GetResponse().GetBusy()
			if _, isLeft := left[key]; !isLeft {
				return
			}
			delete(left, key)
			brokenOff = 1
			if isLook && outcome != nil {
				busy[key] = outcome.GetReason()
				return
			}
			its := keyAnswer{response: answer.GetResponse(), err: errorIn(answer), isInPieces: isInPieces && !isLook}
			if !isLook {
				its.waited = time.Since(asked)
			}
			m.come(m.open[key], its)
		})
		if known, _ := as[*Error](err); known != nil && known.isUnreachable() && known.Code == codes.Unavailable &&
			len(left) > 0 && brokenOff < brokenOffMax && ctx.Err() == nil {
			continue
		}
		if err == nil {
			err = &Error{Code: codes.Internal, Message: "the service has left out this key", retryAfter: noRetry}
		}
		for key := range left {
			m.come(m.open[key], keyAnswer{err: err, isInPieces: isInPieces && !isLook})
		}
		return busy
	}
}

// come passes an answer on. A lease that no caller waits for any more is given back.
func (m *manyAnswers) come(to *firstAnswer, its keyAnswer) {
	to.mu.Lock()
	to.its = its
	close(to.come)
	isLeft := to.isLeft
	to.mu.Unlock()
	if lease := its.response.GetLease(); isLeft && lease != nil {
		m.life.spawn(func() { to.steps.giveBack(context.Background(), lease) })
	}
}

func errorIn(answer *dibsv1.GetOrLockManyResponse) error {
	switch {
	case answer.GetError() != nil:
		return callErrorOf(answer.GetError())
	case answer.GetResponse() == nil:
		return &Error{Code: codes.Internal, Message: "the service has no answer for this key", retryAfter: noRetry}
	default:
		return nil
	}
}

// isInPieces: the length of the wait is left to the service.
func (m *manyAnswers) isInPieces() bool { return !m.wait.isNamed || time.Until(m.until) > waitMaxUsual }

// call passes on each answer as it comes. It ends with the stream.
func (m *manyAnswers) call(ctx context.Context, keys []string, isLook bool, tell func(*dibsv1.GetOrLockManyResponse)) error {
	// If it is left before its end, no more answers are wanted.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left := max(0, time.Until(m.until))
	request := &dibsv1.GetOrLockManyRequest{
		Namespace: m.namespace,
		Keys:      keys,
		LeaseMs:   m.lease.ms(),
		Stale:     m.stale,
		Read:      m.read,
		RequestId: m.requestID,
		Holder:    m.config.holder,
		Intent:    dibsv1.Intent_INTENT_REBUILD,
	}
	if m.refresh {
		request.Intent = dibsv1.Intent_INTENT_REFRESH
	}
	if isLook {
		request.WaitMs = proto.Int64(0)
	} else if !m.isInPieces() {
		request.WaitMs = proto.Int64(left.Milliseconds())
	}
	for _, key := range keys {
		m.flights.asks(m.open[key].flight)
	}
	stream, err := m.calls.GetOrLockMany(tracedAs(ctx, m.traceparent), request,
		within{timeout: left + answerWay}, sending{tell: func(isWatched bool) {
			for _, key := range keys {
				m.flights.sent(m.open[key].flight, isWatched)
			}
		}})
	if err != nil {
		return asError(err)
	}
	for {
		answer, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return asError(err)
		default:
			tell(answer)
		}
	}
}
