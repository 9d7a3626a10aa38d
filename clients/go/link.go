package dibs

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// dial makes the one channel of a client. Nothing is sent before the first call.
func dial(c config, to target) (*grpc.ClientConn, error) {
	if err := c.exposed(to); err != nil {
		return nil, err
	}
	security, err := c.security()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(security),
		grpc.WithUserAgent("dibs-client-go/" + Version),
		// A dead connection is noticed within 15 s, and its calls end.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		// Reconnects within a second to a service that restarts. The default would wait up to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: c.connect,
		}),
		// The service bounds the values.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		// One layer above knows what may be sent again.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
	}
	if resolver := to.resolver(); resolver != nil {
		options = append(options, grpc.WithResolvers(resolver))
	}
	return grpc.NewClient(to.text, options...)
}

// link is a connection, with what every call on it carries. Unary calls fail only with an [Error].
type link struct {
	conn    grpc.ClientConnInterface
	token   tokenSource
	connect time.Duration

	mu sync.Mutex
	// connecting is since when there is neither a connection nor news of one; zero if there was.
	connecting time.Time
}

// within bounds one attempt of a call, on each transport that it uses. The time begins again for each transport. When
// it is over, the call ends as DeadlineExceeded.
type within struct {
	grpc.EmptyCallOption
	timeout time.Duration
}

// sending is an option of a call. tell is called when the request is passed to the transport, which may be a session
// that reports changes.
type sending struct {
	grpc.EmptyCallOption
	tell func(isWatched bool)
}

func sends(options []grpc.CallOption, isWatched bool) {
	for _, option := range options {
		if sending, ok := option.(sending); ok {
			sending.tell(isWatched)
		}
	}
}

func bounded(ctx context.Context, options []grpc.CallOption) (context.Context, context.CancelFunc) {
	if bound, ok := boundOf(options); ok {
		return context.WithTimeout(ctx, bound.timeout)
	}
	return ctx, func() {}
}

func boundOf(options []grpc.CallOption) (within, bool) {
	for _, option := range options {
		if bound, ok := option.(within); ok {
			return bound, true
		}
	}
	return within{}, false
}

// Invoke makes a unary call.
func (l *link) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	ctx, cancel := bounded(ctx, options)
	defer cancel()
	if err := l.reach(ctx); err != nil {
		return err
	}
	calling, err := l.as(ctx)
	if err != nil {
		return err
	}
	sends(options, false)
	var trailer metadata.MD
	err = l.conn.Invoke(calling, method, request, reply, append(options, grpc.Trailer(&trailer))...)
	if err != nil {
		return errorOf(err, trailer)
	}
	return nil
}

// NewStream opens a stream. Its errors are gRPC's own unless it is within a time.
func (l *link) NewStream(
	ctx context.Context,
	desc *grpc.StreamDesc,
	method string,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, cancel := bounded(ctx, options)
	stream, err := l.stream(ctx, desc, method, options)
	if err != nil {
		cancel()
		return nil, err
	}
	if _, isBounded := boundOf(options); isBounded {
		return &boundedStream{stream, cancel}, nil
	}
	return stream, nil
}

func (l *link) stream(ctx context.Context, desc *grpc.StreamDesc, method string, options []grpc.CallOption) (grpc.ClientStream, error) {
	if err := l.reach(ctx); err != nil {
		return nil, err
	}
	calling, err := l.as(ctx)
	if err != nil {
		return nil, err
	}
	sends(options, false)
	return l.conn.NewStream(calling, desc, method, options...)
}

// as sets the caller's token instead of what the context may carry for other services, and the current span unless the
// context sets one.
func (l *link) as(ctx context.Context) (context.Context, error) {
	traceparent := traceparentOf(ctx)
	token, err := l.token.checked(ctx)
	if err != nil {
		return nil, err
	}
	if token == "" && traceparent == "" {
		return ctx, nil
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	if sent == nil {
		sent = metadata.MD{}
	}
	if token != "" {
		sent.Set("authorization", "Bearer "+token)
	}
	if traceparent != "" && len(sent.Get(traceparentHeader)) == 0 {
		sent.Set(traceparentHeader, traceparent)
	}
	return metadata.NewOutgoingContext(ctx, sent), nil
}

// watchable is what gRPC's connections have, and perhaps not every other one.
type watchable interface {
	GetState() connectivity.State
	Connect()
	WaitForStateChange(context.Context, connectivity.State) bool
}

// reach waits until there is a connection, or until gRPC knows that there is none and ends the call itself. The time is
// bounded once for all calls: a name server that does not answer would hold each of them.
func (l *link) reach(ctx context.Context) error {
	conn, ok := l.conn.(watchable)
	if !ok {
		return nil
	}
	for {
		state := conn.GetState()
		if state != connectivity.Idle && state != connectivity.Connecting {
			l.news()
			return nil
		}
		conn.Connect()
		soon, cancel := context.WithDeadline(ctx, l.since().Add(l.connect))
		changed := conn.WaitForStateChange(soon, state)
		cancel()
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		if !changed {
			message := fmt.Sprintf("no connection within %v", l.connect)
			return &Error{Code: codes.Unavailable, Message: message, retryAfter: noRetry}
		}
	}
}

func (l *link) news() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connecting = time.Time{}
}

func (l *link) since() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.connecting.IsZero() {
		l.connecting = time.Now()
	}
	return l.connecting
}

// contextError returns the error of a call whose context has ended.
func contextError(ctx context.Context) *Error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Code: codes.DeadlineExceeded, Message: "no answer within the deadline", retryAfter: noRetry}
	}
	return errGone
}
