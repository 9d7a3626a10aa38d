package dibs

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// noSessionError: the service does not accept sessions here, or something on the way breaks streams. It says nothing
// about the call.
type noSessionError struct{ error }

func (e noSessionError) Unwrap() error { return e.error }

// session makes all calls on one stream at a time; a line is one stream. A draining replica gets no new calls, and
// still answers the open ones.
type session struct {
	stub    dibsv1.CoordinatorServiceClient
	connect time.Duration
	holder  string
	// watched are the namespaces whose changes it reports.
	watched []string
	// listener receives what the service sends without a request.
	listener listener

	// pool is the one that it belongs to; isReady is whether calls may use it; seed then determines which keys it has.
	pool    *sessionPool
	isReady atomic.Bool
	seed    atomic.Uint32

	mu   sync.Mutex
	line *line
	// unended are all lines whose streams have not ended, among them those that accept no more calls.
	unended map[*line]struct{}
	// isClosed: no more lines are opened.
	isClosed bool
	nextID   int64
	// lines is how many have been opened.
	lines       int
	resumeToken string
}

// listener receives what the service sends without a request. It must not use the session, whose lock may be held.
type listener interface {
	// leaseLost: the lease of the token is over.
	leaseLost(token string)
	// invalidated: something has changed in a watched namespace.
	invalidated(*dibsv1.Invalidated)
	// sessionBegan: the service has welcomed a session.
	sessionBegan()
	// sessionOpened: there is a session that reports changes; sessionOver: it no longer does.
	sessionOpened(*heartbeat)
	sessionOver(*heartbeat)
	// sessionChanged: a session has begun or broken, or was not read for too long, so changes may have been missed.
	sessionChanged()
}

// answer is how one call ended.
type answer struct {
	reply *dibsv1.SessionReply
	err   error
}

// Invoke makes one call, like a connection. Its context's deadline and traceparent, or span, travel with it.
func (s *session) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	ctx, cancel := bounded(ctx, options)
	defer cancel()
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	call, err := callOf(ctx, request)
	if err != nil {
		return err
	}
	line, opened := s.ask(call, func(isWatched bool) { sends(options, isWatched) })
	select {
	case its := <-opened.answered:
		return its.read(reply)
	case <-ctx.Done():
		return line.leave(ctx, opened).read(reply)
	}
}

// callOf returns a request with the deadline and the traceparent, or span, of its context.
func callOf(ctx context.Context, request any) (*dibsv1.SessionCall, error) {
	call := &dibsv1.SessionCall{Traceparent: traceparentOf(ctx)}
	if err := setRequest(call, request); err != nil {
		return nil, err
	}
	if sent, ok := metadata.FromOutgoingContext(ctx); ok {
		for _, traceparent := range sent.Get(traceparentHeader) {
			call.Traceparent = traceparent
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		call.DeadlineMs = proto.Int64(max(1, int64((time.Until(deadline)+time.Millisecond-1)/time.Millisecond)))
	}
	return call, nil
}

// ask puts the call on the line. It opens one if there is none.
func (s *session) ask(call *dibsv1.SessionCall, onSent func(isWatched bool)) (*line, *openCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.current()
	return line, line.call(call, onSent)
}

// settle waits until there is a session, and fails if there can be none.
func (s *session) settle(ctx context.Context) error { return s.open().await(ctx) }

// open returns the line of the session. It opens one if there is none.
func (s *session) open() *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current()
}

// current is open, with the lock.
func (s *session) current() *line {
	if s.line == nil {
		s.line = openLine(s)
	}
	return s.line
}

// rank: of several sessions, the one with the highest rank has the key; below 0 if calls may not use it.
func (s *session) rank(keyHash uint32) int64 {
	if !s.isReady.Load() {
		return -1
	}
	return int64(rankOf(keyHash, s.seed.Load()))
}

// leave sends new calls elsewhere.
func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != nil {
		s.line.leavesOff()
	}
}

// NewStream makes a call with several answers.
func (s *session) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	return newSessionStream(ctx, options, func(any) *session { return s }), nil
}

// close ends all streams. A caller's own connection would keep those that the service does not end.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isClosed = true
	for line := range s.unended {
		line.hangUp()
	}
}

// read moves the reply into the message that waits for it. It copies only references, because a reply is read once.
func (a answer) read(into any) error {
	if a.err != nil {
		return a.err
	}
	switch response := a.reply.GetResponse().(type) {
	case *dibsv1.SessionReply_Error:
		return callErrorOf(response.Error)
	case *dibsv1.SessionReply_GetOrLock:
		if into, ok := into.(*dibsv1.GetOrLockResponse); ok {
			into.Outcome, into.Degraded = response.GetOrLock.GetOutcome(), response.GetOrLock.GetDegraded()
			return nil
		}
	case *dibsv1.SessionReply_Publish:
		if into, ok := into.(*dibsv1.PublishResponse); ok {
			into.Outcome, into.Fence = response.Publish.GetOutcome(), response.Publish.GetFence()
			into.Counts, into.MaybeStored = response.Publish.Counts, response.Publish.GetMaybeStored()
			return nil
		}
	case *dibsv1.SessionReply_Release:
		if into, ok := into.(*dibsv1.ReleaseResponse); ok {
			into.Outcome = response.Release.GetOutcome()
			return nil
		}
	case *dibsv1.SessionReply_Extend:
		if into, ok := into.(*dibsv1.ExtendResponse); ok {
			into.Outcome, into.ExpiresInMs = response.Extend.GetOutcome(), response.Extend.GetExpiresInMs()
			return nil
		}
	case *dibsv1.SessionReply_Invalidate:
		if into, ok := into.(*dibsv1.InvalidateResponse); ok {
			into.KeysInvalidated, into.LeasesVoided = response.Invalidate.GetKeysInvalidated(), response.Invalidate.GetLeasesVoided()
			return nil
		}
	case *dibsv1.SessionReply_GetOrLockMany:
		if into, ok := into.(*dibsv1.GetOrLockManyResponse); ok {
			into.Key, into.Result = response.GetOrLockMany.GetKey(), response.GetOrLockMany.GetResult()
			return nil
		}
	case *dibsv1.SessionReply_Explain:
		if into, ok := into.(*dibsv1.ExplainResponse); ok {
			proto.Merge(into, response.Explain)
			return nil
		}
	}
	message := fmt.Sprintf("an unexpected kind of answer: %T to %T", a.reply.GetResponse(), into)
	return &Error{Code: codes.Internal, Message: message, retryAfter: noRetry}
}

func setRequest(call *dibsv1.SessionCall, request any) error {
	switch request := request.(type) {
	case *dibsv1.GetOrLockRequest:
		call.Request = &dibsv1.SessionCall_GetOrLock{GetOrLock: request}
	case *dibsv1.PublishRequest:
		call.Request = &dibsv1.SessionCall_Publish{Publish: request}
	case *dibsv1.ReleaseRequest:
		call.Request = &dibsv1.SessionCall_Release{Release: request}
	case *dibsv1.ExtendRequest:
		call.Request = &dibsv1.SessionCall_Extend{Extend: request}
	case *dibsv1.InvalidateRequest:
		call.Request = &dibsv1.SessionCall_Invalidate{Invalidate: request}
	case *dibsv1.GetOrLockManyRequest:
		call.Request = &dibsv1.SessionCall_GetOrLockMany{GetOrLockMany: request}
	case *dibsv1.ExplainRequest:
		call.Request = &dibsv1.SessionCall_Explain{Explain: request}
	default:
		return noSessionError{fmt.Errorf("a session of this client does not carry %T", request)}
	}
	return nil
}
