package dibs

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const (
	// sessionAgain is how long until a session that failed is tried again for the first time. It doubles up to
	// sessionAgainMax.
	sessionAgain    = 2 * time.Second
	sessionAgainMax = 60 * time.Second
)

// sessions make calls on one stream, or on one for each replica.
type sessions interface {
	grpc.ClientConnInterface
	// settle waits until there is a session, and fails if there can be none.
	settle(ctx context.Context) error
	// groups returns the keys, grouped by the session that their calls use.
	groups(keys []string) [][]string
	close()
}

// sessionOrUnary makes calls on a session if there can be one, and one by one if something on the way breaks streams.
// No call waits for another attempt, which continues in the background.
type sessionOrUnary struct {
	*link
	sessions
	life *lifetime

	isUnary atomic.Bool
}

// Invoke makes one call.
func (s *sessionOrUnary) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	if s.isUnary.Load() {
		return s.link.Invoke(ctx, method, request, reply, options...)
	}
	err := s.sessions.Invoke(ctx, method, request, reply, options...)
	none, isNone := as[noSessionError](err)
	if !isNone {
		return err
	}
	if err := s.link.Invoke(ctx, method, request, reply, options...); err != nil {
		return err
	}
	s.unaryWorksWithout(none)
	return nil
}

// NewStream makes a call with several answers.
func (s *sessionOrUnary) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	again := func() (grpc.ClientStream, error) { return s.link.NewStream(ctx, desc, method, options...) }
	if s.isUnary.Load() {
		return again()
	}
	stream, err := s.sessions.NewStream(ctx, desc, method, options...)
	if err != nil {
		return nil, err
	}
	return &sessionStreamOrUnary{ClientStream: stream, again: again, worked: s.unaryWorksWithout}, nil
}

func (s *sessionOrUnary) unaryWorksWithout(session noSessionError) {
	// If the token was refused, a session with the next one is possible.
	if refused, _ := as[*Error](session.error); refused == nil || refused.Code != codes.Unauthenticated {
		s.unaryWorks()
	}
}

// unaryWorks: without a session, calls are sent one by one until another attempt has one. The caller must have entered
// the lifetime.
func (s *sessionOrUnary) unaryWorks() {
	if s.isUnary.CompareAndSwap(false, true) {
		s.life.spawn(s.tryAgain)
	}
}

func (s *sessionOrUnary) tryAgain() {
	for after := sessionAgain; ; after = min(2*after, sessionAgainMax) {
		pause(s.life.over, after)
		if s.life.over.Err() != nil {
			return
		}
		if s.settle(s.life.over) == nil {
			s.isUnary.Store(false)
			return
		}
	}
}
