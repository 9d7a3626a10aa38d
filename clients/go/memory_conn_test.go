package dibs_test

import (
	"context"
	"io"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// inFakeTime runs a test whose time passes only while all its goroutines wait. A busy machine makes nothing late.
func inFakeTime(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Runs after the client was closed. What is still under way ends by its timeout.
		t.Cleanup(func() { time.Sleep(time.Minute) })
		test(t)
	})
}

// onFake runs a test in fake time, with a client that calls the fake one by one.
func onFake(t *testing.T, fake *fakeService, test func(*testing.T, *dibs.Client), options ...dibs.Option) {
	t.Helper()
	inFakeTime(t, func(t *testing.T) {
		its := []dibs.Option{dibs.WithConn(memoryConn{fake}), dibs.WithSession(false), ttl}
		test(t, client(t, "", append(its, options...)...))
	})
}

// inSessions runs a test in fake time, with a client that calls in sessions.
func inSessions(t *testing.T, test func(*testing.T, *dibs.Client, <-chan *fakeSession), options ...dibs.Option) {
	t.Helper()
	inFakeTime(t, func(t *testing.T) {
		fake := newFake()
		sessions := sessionsOf(fake)
		its := []dibs.Option{dibs.WithConn(memoryConn{fake}), dibs.WithCodec(raw{}), ttl}
		test(t, client(t, "", append(its, options...)...), sessions)
	})
}

// memoryConn calls the fake without a network, so that a client can run in fake time.
type memoryConn struct{ fake *fakeService }

// Invoke makes a unary call. Like gRPC, it does not wait for a handler that goes on after the deadline.
func (c memoryConn) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var trailer memoryTrailer
	ended := make(chan fetched[any], 1)
	go func() {
		response, err := c.handle(grpc.NewContextWithServerTransportStream(arriving(ctx), &trailer), method, request)
		ended <- fetched[any]{response, err}
	}()
	select {
	case got := <-ended:
		for _, option := range options {
			if to, ok := option.(grpc.TrailerCallOption); ok {
				*to.TrailerAddr = trailer.its
			}
		}
		if got.err == nil {
			proto.Merge(reply.(proto.Message), got.value.(proto.Message))
		}
		return got.err
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (c memoryConn) handle(ctx context.Context, method string, request any) (any, error) {
	for _, its := range dibsv1.CoordinatorService_ServiceDesc.Methods {
		if its.MethodName == path.Base(method) {
			return its.Handler(c.fake, ctx, into(request), nil)
		}
	}
	return nil, status.Error(codes.Unimplemented, method)
}

// into copies a message, because the other side may change its own.
func into(message any) func(any) error {
	return func(to any) error {
		proto.Merge(to.(proto.Message), message.(proto.Message))
		return nil
	}
}

// arriving has what was sent as metadata.
func arriving(ctx context.Context) context.Context {
	sent, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewIncomingContext(ctx, sent)
}

// memoryTrailer keeps what a handler sets.
type memoryTrailer struct{ its metadata.MD }

func (m *memoryTrailer) Method() string               { return "" }
func (m *memoryTrailer) SetHeader(metadata.MD) error  { return nil }
func (m *memoryTrailer) SendHeader(metadata.MD) error { return nil }
func (m *memoryTrailer) SetTrailer(its metadata.MD) error {
	m.its = its
	return nil
}

// NewStream opens a stream, and runs its handler.
func (c memoryConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	handling, end := context.WithCancel(arriving(ctx))
	its := &memoryStream{
		ctx:      ctx,
		handling: handling,
		sent:     make(chan any, 100),
		said:     make(chan any, 100),
		closed:   make(chan struct{}),
		ended:    make(chan struct{}),
	}
	go func() {
		defer close(its.ended)
		defer end()
		its.err = desc.Handler(c.fake, handlersStream{its})
	}()
	return its, nil
}

// memoryStream is a stream as the client has it.
type memoryStream struct {
	ctx context.Context
	// handling is the context of the handler. It ends with the handler too.
	handling context.Context
	// sent is what the client sends until it has closed its side; said is what the handler answers.
	sent, said chan any
	closed     chan struct{}
	// ended is closed when the handler has returned err.
	ended chan struct{}
	err   error
}

func (s *memoryStream) SendMsg(message any) error {
	select {
	case s.sent <- proto.Clone(message.(proto.Message)):
		return nil
	case <-s.ended:
		return io.EOF
	case <-s.ctx.Done():
		return io.EOF
	}
}

func (s *memoryStream) RecvMsg(to any) error {
	select {
	case message := <-s.said:
		return into(message)(to)
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	case <-s.ended:
	}
	// What was answered before the end comes before it.
	select {
	case message := <-s.said:
		return into(message)(to)
	default:
	}
	if s.err == nil {
		return io.EOF
	}
	return s.err
}

func (s *memoryStream) CloseSend() error {
	close(s.closed)
	return nil
}

func (s *memoryStream) Context() context.Context     { return s.ctx }
func (s *memoryStream) Header() (metadata.MD, error) { return nil, nil }
func (s *memoryStream) Trailer() metadata.MD         { return nil }

// handlersStream is a stream as its handler has it.
type handlersStream struct{ its *memoryStream }

func (s handlersStream) SendMsg(message any) error {
	select {
	case s.its.said <- proto.Clone(message.(proto.Message)):
		return nil
	case <-s.its.handling.Done():
		return status.FromContextError(s.its.handling.Err()).Err()
	}
}

func (s handlersStream) RecvMsg(to any) error {
	select {
	case message := <-s.its.sent:
		return into(message)(to)
	case <-s.its.handling.Done():
		return status.FromContextError(s.its.handling.Err()).Err()
	case <-s.its.closed:
	}
	select {
	case message := <-s.its.sent:
		return into(message)(to)
	default:
		return io.EOF
	}
}

func (s handlersStream) Context() context.Context     { return s.its.handling }
func (s handlersStream) SetHeader(metadata.MD) error  { return nil }
func (s handlersStream) SendHeader(metadata.MD) error { return nil }
func (s handlersStream) SetTrailer(metadata.MD)       {}
