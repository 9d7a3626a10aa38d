package dibs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// playedConn has sessions without a network, so that a client can run in fake time.
type playedConn struct{ sessions chan *playedSession }

func (c playedConn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return status.Error(codes.Unimplemented, "there are only sessions here")
}

func (c playedConn) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	its := &playedSession{
		ctx:   ctx,
		came:  make(chan *dibsv1.SessionRequest, 100),
		going: make(chan *dibsv1.SessionResponse, 100),
		over:  make(chan struct{}),
	}
	its.going <- &dibsv1.SessionResponse{Welcome: &dibsv1.SessionWelcome{}}
	c.sessions <- its
	return its, nil
}

// playedSession is one stream. A test reads what comes, and sends what goes.
type playedSession struct {
	ctx   context.Context
	came  chan *dibsv1.SessionRequest
	going chan *dibsv1.SessionResponse
	// over, closed, breaks the stream.
	over chan struct{}
}

func (s *playedSession) SendMsg(message any) error {
	s.came <- message.(*dibsv1.SessionRequest)
	return nil
}

func (s *playedSession) RecvMsg(into any) error {
	select {
	case message := <-s.going:
		proto.Merge(into.(*dibsv1.SessionResponse), message)
		return nil
	case <-s.over:
		return status.Error(codes.Unavailable, "gone")
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

func (s *playedSession) CloseSend() error             { return nil }
func (s *playedSession) Context() context.Context     { return s.ctx }
func (s *playedSession) Header() (metadata.MD, error) { return nil, nil }
func (s *playedSession) Trailer() metadata.MD         { return nil }

// playedStage is a client in fake time, with a near cache and one session.
type playedStage struct {
	*Client
	t        *testing.T
	session  *playedSession
	sessions <-chan *playedSession
}

// played runs a test in fake time.
func played(t *testing.T, near NearCache, test func(*playedStage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		conn := playedConn{make(chan *playedSession, 10)}
		client, err := New("", WithConn(conn), WithNearCache(near), WithTTL(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = client.Close()
			// What it gives back is not answered, and ends by its timeout.
			time.Sleep(time.Minute)
		}()
		if err := client.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(&playedStage{client, t, <-conn.sessions, conn.sessions})
	})
}

// call is the next call. No time passes after its sending.
func (p *playedStage) call() *dibsv1.SessionCall {
	for {
		if calls := (<-p.session.came).GetCalls(); len(calls) > 0 {
			return calls[0]
		}
	}
}

// hasCall reports whether a call has come, and takes it.
func (p *playedStage) hasCall() bool {
	synctest.Wait()
	for len(p.session.came) > 0 {
		if len((<-p.session.came).GetCalls()) > 0 {
			return true
		}
	}
	return false
}

// tell sends a message, and waits until the client has handled it.
func (p *playedStage) tell(message *dibsv1.SessionResponse) {
	p.session.going <- message
	synctest.Wait()
}

func (p *playedStage) beat() {
	beat := &dibsv1.SessionEvent{Event: &dibsv1.SessionEvent_Beat{Beat: &dibsv1.Beat{}}}
	p.tell(&dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{beat}})
}

func (p *playedStage) reply(call *dibsv1.SessionCall, response *dibsv1.GetOrLockResponse) {
	p.tell(&dibsv1.SessionResponse{Replies: []*dibsv1.SessionReply{{
		Id:       call.GetId(),
		Response: &dibsv1.SessionReply_GetOrLock{GetOrLock: response},
	}}})
}

// replyOf answers for one of many keys.
func (p *playedStage) replyOf(call *dibsv1.SessionCall, key string, response *dibsv1.GetOrLockResponse, more bool) {
	p.tell(&dibsv1.SessionResponse{Replies: []*dibsv1.SessionReply{{
		Id:   call.GetId(),
		More: more,
		Response: &dibsv1.SessionReply_GetOrLockMany{GetOrLockMany: &dibsv1.GetOrLockManyResponse{
			Key:    key,
			Result: &dibsv1.GetOrLockManyResponse_Response{Response: response},
		}},
	}}})
}

// freshFor is a hit.
func freshFor(ms int64) *dibsv1.GetOrLockResponse {
	return &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Hit{Hit: &dibsv1.Hit{
		Payload:    &dibsv1.Hit_Value{Value: []byte("v")},
		Freshness:  dibsv1.Freshness_FRESHNESS_FRESH,
		FreshForMs: ms,
		Tags:       &dibsv1.Tags{},
	}}}
}

func leasedFor(ms int64) *dibsv1.GetOrLockResponse {
	lease := &dibsv1.Lease{Token: "token", ExpiresInMs: ms}
	return &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Lease{Lease: lease}}
}

// fetch fetches a key in the background.
func (p *playedStage) fetch(key string) {
	go func() { _, _ = Fetch(p.t.Context(), p.Client, key, rebuildUntilTheEnd) }()
}

// rebuildUntilTheEnd ends with the client.
func rebuildUntilTheEnd(ctx context.Context) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// wantsNear checks whether a key is served from this process, and whether it is kept at all.
func (p *playedStage) wantsNear(key string, isServed, isKept bool) {
	p.t.Helper()
	id := valueID{"default", key}
	if served := p.near.fresh(id).entry != nil; served != isServed {
		p.t.Errorf("%s is served: %v", key, served)
	}
	if _, kept := p.near.entries.GetIfPresent(id); kept != isKept {
		p.t.Errorf("%s is kept: %v", key, kept)
	}
}
