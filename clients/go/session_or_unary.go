package dibs

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// unaryFor is how long calls go one by one after a session could not be had and they could.
const unaryFor = time.Minute

// sessionOrUnary makes calls on a session where that can be had, and one by one where something on the way breaks
// streams.
type sessionOrUnary struct {
	*link
	session *session

	mu         sync.Mutex
	unaryUntil time.Time
}

// Invoke makes one call.
func (s *sessionOrUnary) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	if s.isUnary() {
		return s.link.Invoke(ctx, method, request, reply, options...)
	}
	err := s.session.Invoke(ctx, method, request, reply, options...)
	if _, none := as[noSessionError](err); !none {
		return err
	}
	if err := s.link.Invoke(ctx, method, request, reply, options...); err != nil {
		return err
	}
	s.unaryWorks()
	return nil
}

func (s *sessionOrUnary) isUnary() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.unaryUntil)
}

func (s *sessionOrUnary) unaryWorks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unaryUntil = time.Now().Add(unaryFor)
}
