package dibs

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// sessionStream is a session's call with several answers. It looks like a separate stream.
type sessionStream struct {
	ctx     context.Context
	cancel  context.CancelFunc
	options []grpc.CallOption
	// sessionOf returns the session for the call.
	sessionOf func(request any) *session

	line   *line
	opened *openCall
	// isLast: the last answer was received. isLeft: answers from before are still being received.
	isLast bool
	isLeft bool
}

func newSessionStream(ctx context.Context, options []grpc.CallOption, sessionOf func(any) *session) *sessionStream {
	ctx, cancel := bounded(ctx, options)
	return &sessionStream{ctx: ctx, cancel: cancel, options: options, sessionOf: sessionOf}
}

// SendMsg makes the call.
func (s *sessionStream) SendMsg(request any) error {
	its := s.sessionOf(request)
	call, err := callOf(s.ctx, request)
	if err != nil {
		return err
	}
	s.line, s.opened = its.ask(call, func(isWatched bool) { sends(s.options, isWatched) })
	return nil
}

// RecvMsg receives the next answer. After the context has ended, it returns the answers that had already come, because
// they may carry leases.
func (s *sessionStream) RecvMsg(reply any) error {
	if s.isLast {
		s.cancel()
		return io.EOF
	}
	select {
	case its := <-s.opened.answered:
		return s.received(its, reply)
	default:
	}
	if s.isLeft {
		s.cancel()
		return s.line.leftAs(s.ctx)
	}
	select {
	case its := <-s.opened.answered:
		return s.received(its, reply)
	case <-s.ctx.Done():
		s.isLeft = true
		s.line.cancel(s.opened)
		return s.RecvMsg(reply)
	}
}

func (s *sessionStream) received(its answer, reply any) error {
	err := its.read(reply)
	s.isLast = err != nil || !its.reply.GetMore()
	return err
}

// CloseSend does nothing, because there is one request.
func (s *sessionStream) CloseSend() error { return nil }

// Context returns the call's context.
func (s *sessionStream) Context() context.Context { return s.ctx }

// Header is empty.
func (s *sessionStream) Header() (metadata.MD, error) { return nil, nil }

// Trailer is empty: the errors of a session carry their hints.
func (s *sessionStream) Trailer() metadata.MD { return nil }

// boundedStream is a stream with a time limit. It fails with an [Error], like unary calls.
type boundedStream struct {
	grpc.ClientStream
	cancel context.CancelFunc
}

// RecvMsg receives the next answer.
func (s *boundedStream) RecvMsg(reply any) error {
	err := s.ClientStream.RecvMsg(reply)
	if err == nil {
		return nil
	}
	s.cancel()
	if err == io.EOF {
		return err
	}
	return errorOf(err, s.Trailer())
}

// sessionStreamOrUnary makes the call on a separate stream if there can be no session.
type sessionStreamOrUnary struct {
	grpc.ClientStream
	request any
	// again opens a separate stream; worked is called when one has answered and a session did not.
	again  func() (grpc.ClientStream, error)
	worked func(noSessionError)
	// isAnswered: some keys have their answers.
	isAnswered bool
}

// SendMsg makes the call.
func (s *sessionStreamOrUnary) SendMsg(request any) error {
	s.request = request
	return s.ClientStream.SendMsg(request)
}

// RecvMsg receives the next answer.
func (s *sessionStreamOrUnary) RecvMsg(reply any) error {
	err := s.ClientStream.RecvMsg(reply)
	none, isNone := as[noSessionError](err)
	s.isAnswered = s.isAnswered || err == nil
	if !isNone {
		return err
	}
	if s.isAnswered {
		// The call is repeated for the other keys. Another one for all of them could get leases that no caller waits for.
		return &Error{Code: codes.Unavailable, Message: none.Error(), retryAfter: noRetry}
	}
	stream, err := s.again()
	if err != nil {
		return err
	}
	s.ClientStream = stream
	if err := stream.SendMsg(s.request); err != nil && err != io.EOF {
		return asError(err)
	}
	if err := stream.CloseSend(); err != nil {
		return asError(err)
	}
	if err := stream.RecvMsg(reply); err != nil {
		return err
	}
	s.worked(none)
	return nil
}

// leaseIn returns the lease that a reply carries to a call, and its key; nil if there is none.
func leaseIn(call *dibsv1.SessionCall, reply *dibsv1.SessionReply) (namespace, key string, lease *dibsv1.Lease) {
	if one := call.GetGetOrLock(); one != nil {
		return one.GetNamespace(), one.GetKey(), reply.GetGetOrLock().GetLease()
	}
	its := reply.GetGetOrLockMany()
	return call.GetGetOrLockMany().GetNamespace(), its.GetKey(), its.GetResponse().GetLease()
}
