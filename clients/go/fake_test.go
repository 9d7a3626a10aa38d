package dibs_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// answer is what the fake does with one request.
type answer[In, Out any] func(context.Context, In) (Out, error)

// script has the answers to the calls of one kind, one after the other; the last one stays. It remembers the requests.
type script[In, Out any] struct {
	mu       sync.Mutex
	answers  []answer[In, Out]
	requests []In
}

func (s *script[In, Out]) will(answers ...answer[In, Out]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = answers
}

func (s *script[In, Out]) heard() []In {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]In(nil), s.requests...)
}

func (s *script[In, Out]) play(ctx context.Context, request In) (Out, error) {
	s.mu.Lock()
	s.requests = append(s.requests, request)
	var next answer[In, Out]
	if len(s.answers) > 0 {
		next = s.answers[0]
	}
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.mu.Unlock()
	if next == nil {
		var none Out
		return none, status.Error(codes.Internal, "no answer was told for this call")
	}
	return next(ctx, request)
}

// fakeService says what a test tells it to, over real gRPC or in memory; without a session unless it is told of one.
type fakeService struct {
	dibsv1.UnimplementedCoordinatorServiceServer
	getOrLock  script[*dibsv1.GetOrLockRequest, *dibsv1.GetOrLockResponse]
	publish    script[*dibsv1.PublishRequest, *dibsv1.PublishResponse]
	release    script[*dibsv1.ReleaseRequest, *dibsv1.ReleaseResponse]
	extend     script[*dibsv1.ExtendRequest, *dibsv1.ExtendResponse]
	invalidate script[*dibsv1.InvalidateRequest, *dibsv1.InvalidateResponse]
	session    func(dibsv1.CoordinatorService_SessionServer) error

	server *grpc.Server
	target string
}

// newFake has no network: see [memoryConn].
func newFake() *fakeService {
	fake := &fakeService{}
	fake.release.will(ok[*dibsv1.ReleaseRequest](&dibsv1.ReleaseResponse{Outcome: dibsv1.ReleaseOutcome_RELEASE_OUTCOME_RELEASED}))
	return fake
}

func startFake(t *testing.T, options ...grpc.ServerOption) *fakeService {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fake := newFake()
	fake.server, fake.target = grpc.NewServer(options...), listener.Addr().String()
	dibsv1.RegisterCoordinatorServiceServer(fake.server, fake)
	go func() { _ = fake.server.Serve(listener) }()
	t.Cleanup(fake.server.Stop)
	return fake
}

func (f *fakeService) GetOrLock(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
	return withIdentity(ctx, in, f.getOrLock.play)
}

func (f *fakeService) Publish(ctx context.Context, in *dibsv1.PublishRequest) (*dibsv1.PublishResponse, error) {
	return f.publish.play(ctx, in)
}

func (f *fakeService) Release(ctx context.Context, in *dibsv1.ReleaseRequest) (*dibsv1.ReleaseResponse, error) {
	return f.release.play(ctx, in)
}

func (f *fakeService) Extend(ctx context.Context, in *dibsv1.ExtendRequest) (*dibsv1.ExtendResponse, error) {
	return f.extend.play(ctx, in)
}

func (f *fakeService) Invalidate(ctx context.Context, in *dibsv1.InvalidateRequest) (*dibsv1.InvalidateResponse, error) {
	return f.invalidate.play(ctx, in)
}

func (f *fakeService) Session(stream dibsv1.CoordinatorService_SessionServer) error {
	if f.session == nil {
		return status.Error(codes.Unimplemented, "this one has no sessions")
	}
	return f.session(stream)
}

// GetOrLockMany has a value for each key: "of " and its name.
func (f *fakeService) GetOrLockMany(in *dibsv1.GetOrLockManyRequest, stream dibsv1.CoordinatorService_GetOrLockManyServer) error {
	for _, key := range in.GetKeys() {
		response, _ := hit("of "+key)(stream.Context(), nil)
		its := &dibsv1.GetOrLockManyResponse{Key: key, Result: &dibsv1.GetOrLockManyResponse_Response{Response: response}}
		if err := stream.Send(its); err != nil {
			return err
		}
	}
	return nil
}

type identityKey struct{}

// identity is what came as metadata.
func identity(ctx context.Context) metadata.MD {
	return ctx.Value(identityKey{}).(metadata.MD)
}

func withIdentity[In, Out any](ctx context.Context, in In, play func(context.Context, In) (Out, error)) (Out, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	return play(context.WithValue(ctx, identityKey{}, sent), in)
}

func ok[In, Out any](response Out) answer[In, Out] {
	return func(context.Context, In) (Out, error) { return response, nil }
}

// refuses ends a call with a status, and with a hint when to come back unless that is below 0.
func refuses[In, Out any](code codes.Code, message string, retryAfterMs int64) answer[In, Out] {
	return func(ctx context.Context, _ In) (Out, error) {
		if retryAfterMs >= 0 {
			hint := metadata.Pairs("grpc-retry-pushback-ms", strconv.FormatInt(retryAfterMs, 10))
			_ = grpc.SetTrailer(ctx, hint)
		}
		var none Out
		return none, status.Error(code, message)
	}
}

// hangs answers only when its caller has gone.
func hangs[In, Out any](ctx context.Context, _ In) (Out, error) {
	<-ctx.Done()
	var none Out
	return none, status.FromContextError(ctx.Err()).Err()
}

type asked = answer[*dibsv1.GetOrLockRequest, *dibsv1.GetOrLockResponse]

func hit(value string) asked {
	return ok[*dibsv1.GetOrLockRequest](&dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Hit{Hit: &dibsv1.Hit{
		Payload:   &dibsv1.Hit_Value{Value: []byte(value)},
		Freshness: dibsv1.Freshness_FRESHNESS_FRESH,
	}}})
}

func lease(token string, expiresInMs int64) asked {
	return ok[*dibsv1.GetOrLockRequest](leaseOf(&dibsv1.Lease{
		Token:       token,
		Fence:       4,
		ExpiresInMs: expiresInMs,
		Reason:      dibsv1.LeaseReason_LEASE_REASON_MISS,
	}))
}

// leaseBeside is a lease with an old value to serve meanwhile.
func leaseBeside(token, previous string) asked {
	return ok[*dibsv1.GetOrLockRequest](leaseOf(&dibsv1.Lease{
		Token:       token,
		ExpiresInMs: 10_000,
		Previous:    &dibsv1.Hit{Payload: &dibsv1.Hit_Value{Value: []byte(previous)}, Freshness: dibsv1.Freshness_FRESHNESS_STALE},
	}))
}

func leaseOf(lease *dibsv1.Lease) *dibsv1.GetOrLockResponse {
	return &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Lease{Lease: lease}}
}

func busy(reason dibsv1.BusyReason, retryAfterMs int64) asked {
	return ok[*dibsv1.GetOrLockRequest](&dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Busy{Busy: &dibsv1.Busy{
		Reason:       reason,
		RetryAfterMs: retryAfterMs,
		HolderAgeMs:  7,
	}}})
}

func failed(message string, retryAfterMs int64) asked {
	return ok[*dibsv1.GetOrLockRequest](&dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Failed{Failed: &dibsv1.Failed{
		Message:      message,
		RetryAfterMs: retryAfterMs,
	}}})
}

func unavailable(retryAfterMs int64) asked {
	return refuses[*dibsv1.GetOrLockRequest, *dibsv1.GetOrLockResponse](codes.Unavailable, "gone", retryAfterMs)
}

func published(outcome dibsv1.PublishOutcome) answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse] {
	return ok[*dibsv1.PublishRequest](&dibsv1.PublishResponse{Outcome: outcome, Fence: 4})
}

func unpublished(code codes.Code, message string) answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse] {
	return refuses[*dibsv1.PublishRequest, *dibsv1.PublishResponse](code, message, -1)
}

const stored = dibsv1.PublishOutcome_PUBLISH_OUTCOME_STORED
