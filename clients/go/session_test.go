package dibs_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// fakeSession is one stream as the service has it: the test reads what comes and says what goes.
type fakeSession struct {
	hello *dibsv1.SessionHello
	came  chan *dibsv1.SessionRequest
	going chan *dibsv1.SessionResponse
	// over ends the stream, with the error that it is sent.
	over chan error
}

// sessionsOf are the streams that the clients of the fake open, each confirmed.
func sessionsOf(fake *fakeService) <-chan *fakeSession {
	sessions := make(chan *fakeSession, 10)
	fake.session = func(stream dibsv1.CoordinatorService_SessionServer) error {
		first, err := stream.Recv()
		if err != nil {
			return err
		}
		session := &fakeSession{
			hello: first.GetHello(),
			came:  make(chan *dibsv1.SessionRequest, 100),
			going: make(chan *dibsv1.SessionResponse, 100),
			over:  make(chan error, 1),
		}
		session.going <- &dibsv1.SessionResponse{Welcome: &dibsv1.SessionWelcome{ResumeToken: "resume"}}
		sessions <- session
		left := make(chan struct{})
		go func() {
			defer close(left)
			defer close(session.came)
			for {
				message, err := stream.Recv()
				if err != nil {
					return
				}
				session.came <- message
			}
		}()
		for {
			select {
			case message := <-session.going:
				if err := stream.Send(message); err != nil {
					return err
				}
			case err := <-session.over:
				return session.ends(stream, err)
			case <-left:
				return nil
			}
		}
	}
	return sessions
}

// ends sends what was said before the end.
func (s *fakeSession) ends(stream dibsv1.CoordinatorService_SessionServer, err error) error {
	for {
		select {
		case message := <-s.going:
			if err := stream.Send(message); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// call is the next call that comes.
func (s *fakeSession) call(t *testing.T) *dibsv1.SessionCall {
	t.Helper()
	for {
		message := receive(t, "a call", s.came)
		if message == nil {
			t.Fatal("the session has ended")
		}
		if calls := message.GetCalls(); len(calls) > 0 {
			return calls[0]
		}
	}
}

func (s *fakeSession) reply(replies ...*dibsv1.SessionReply) {
	s.going <- &dibsv1.SessionResponse{Replies: replies}
}

func hitReply(id int64, value string) *dibsv1.SessionReply {
	response, _ := hit(value)(context.Background(), nil)
	return &dibsv1.SessionReply{Id: id, Response: &dibsv1.SessionReply_GetOrLock{GetOrLock: response}}
}

// inSession fetches behind.
func inSession(t *testing.T, its *dibs.Client, key string, options ...dibs.FetchOption) <-chan fetched[string] {
	return behind(func() (string, error) {
		return dibs.Fetch(t.Context(), its, key, returning("rebuilt"), append(options, ttl)...)
	})
}

func TestACallOfASession(t *testing.T) {
	inSessions(t, func(t *testing.T, its *dibs.Client, sessions <-chan *fakeSession) {
		call := inSession(t, its, "k", dibs.WithWait(time.Second), dibs.WithTraceparent("00-trace"))
		session := receive(t, "a session", sessions)
		if session.hello.GetHolder() != "me" || session.hello.GetResumeToken() != "" {
			t.Errorf("it began with %v", session.hello)
		}
		asked := session.call(t)
		if asked.GetId() <= 0 || asked.GetTraceparent() != "00-trace" || asked.GetDeadlineMs() != 3000 || asked.GetGetOrLock().GetKey() != "k" {
			t.Errorf("asked %v", asked)
		}
		// Unknown and unexpected events do no harm.
		session.going <- &dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{{}}, Replies: []*dibsv1.SessionReply{{Id: 77}}}
		session.reply(hitReply(asked.GetId(), "v"))
		got := receive(t, "the value", call)
		want(t, got.value, got.err, "v")
	}, dibs.WithHolder("me"))
}

func TestAnErrorWithinASessionIsThatOfAUnaryCall(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	its := client(t, fake.target, dibs.WithCodec(raw{}))
	call := inSession(t, its, "k")
	session := receive(t, "a session", sessions)
	fail := func(code codes.Code, retryAfterMs *int64) {
		its := &dibsv1.CallError{Code: int32(code), Message: "key: no", RetryAfterMs: retryAfterMs}
		session.reply(&dibsv1.SessionReply{Id: session.call(t).GetId(), Response: &dibsv1.SessionReply_Error{Error: its}})
	}
	fail(codes.ResourceExhausted, proto.Int64(1))
	fail(codes.InvalidArgument, nil)
	got := receive(t, "the error", call)
	var refused *dibs.Error
	if !errors.As(got.err, &refused) || refused.Code != codes.InvalidArgument || refused.Message != "key: no" {
		t.Errorf("got %v", got.err)
	}
}

func TestAnAnswerOfAnotherKindIsAnError(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	call := inSession(t, client(t, fake.target), "k")
	session := receive(t, "a session", sessions)
	session.reply(&dibsv1.SessionReply{Id: session.call(t).GetId(), Response: &dibsv1.SessionReply_Publish{Publish: &dibsv1.PublishResponse{}}})
	if got := receive(t, "the error", call); status.Code(got.err) != codes.Internal {
		t.Errorf("got %v", got.err)
	}
}

func TestACallerThatLeavesASession(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	its := client(t, fake.target)
	ctx, leave := context.WithCancel(t.Context())
	call := behind(func() (string, error) { return dibs.Fetch(ctx, its, "k", returning("v"), ttl) })
	session := receive(t, "a session", sessions)
	asked := session.call(t)
	leave()
	receive(t, "the end", call)
	message := receive(t, "a message", session.came)
	if ids := message.GetCancelledIds(); len(ids) != 1 || ids[0] != asked.GetId() {
		t.Errorf("it heard %v", message)
	}
	// Its lease was on the way when it left.
	response := leaseOf(&dibsv1.Lease{Token: "stray", ExpiresInMs: 10_000})
	session.reply(&dibsv1.SessionReply{Id: asked.GetId(), Response: &dibsv1.SessionReply_GetOrLock{GetOrLock: response}})
	if given := session.call(t).GetRelease(); given.GetToken() != "stray" || given.GetKey() != "k" || given.GetFailure() != nil {
		t.Errorf("it heard %v", given)
	}
}

func TestASessionThatBreaks(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	call := inSession(t, client(t, fake.target, dibs.WithCodec(raw{})), "k")
	first := receive(t, "a session", sessions)
	asked := first.call(t)
	first.over <- status.Error(codes.Internal, "a proxy has restarted")
	second := receive(t, "another session", sessions)
	if second.hello.GetResumeToken() != "resume" {
		t.Errorf("it began with %v", second.hello)
	}
	again := second.call(t)
	if again.GetGetOrLock().GetRequestId() != asked.GetGetOrLock().GetRequestId() {
		t.Error("it was another call")
	}
	second.reply(hitReply(again.GetId(), "v"))
	got := receive(t, "the value", call)
	want(t, got.value, got.err, "v")
}

func TestAReplicaThatDrainsIsLeft(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	its := client(t, fake.target, dibs.WithCodec(raw{}))
	open := inSession(t, its, "open")
	first := receive(t, "a session", sessions)
	asked := first.call(t)
	first.going <- &dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{{Event: &dibsv1.SessionEvent_Draining{Draining: &dibsv1.Draining{}}}}}
	// Whether the event or the call is first is not known: it asks until it has come.
	var second *fakeSession
	eventually(t, "another session", func() bool {
		_ = inSession(t, its, freshKey())
		select {
		case second = <-sessions:
			return true
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
	if second.hello.GetResumeToken() != "" {
		t.Error("it resumes what it has left")
	}
	first.reply(hitReply(asked.GetId(), "v"))
	got := receive(t, "the value", open)
	want(t, got.value, got.err, "v")
	for message := range first.came {
		for _, call := range message.GetCalls() {
			first.reply(hitReply(call.GetId(), "v"))
		}
	}
}

func TestWhereNoSessionCanBeHad(t *testing.T) {
	refused := func(dibsv1.CoordinatorService_SessionServer) error {
		return status.Error(codes.Unimplemented, "no streams here")
	}
	swallowed := func(stream dibsv1.CoordinatorService_SessionServer) error {
		<-stream.Context().Done()
		return nil
	}
	for name, session := range map[string]func(dibsv1.CoordinatorService_SessionServer) error{"refused": refused, "swallowed": swallowed} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			var tried atomic.Int64
			fake.session = func(stream dibsv1.CoordinatorService_SessionServer) error {
				tried.Add(1)
				return session(stream)
			}
			fake.getOrLock.will(hit("v"))
			onFake(t, fake, func(t *testing.T, its *dibs.Client) {
				for range 3 {
					value, err := dibs.Fetch(t.Context(), its, "k", returning(""), dibs.WithWait(0))
					want(t, value, err, "v")
				}
				if tried.Load() != 1 {
					t.Errorf("it was tried %d times", tried.Load())
				}
			}, dibs.WithSession(true), dibs.WithCodec(raw{}), dibs.WithConnectTimeout(100*time.Millisecond))
		})
	}
}

func TestAServiceThatDoesNotAnswerIsOutOfReach(t *testing.T) {
	// It takes connections, and says nothing.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	its := client(t, listener.Addr().String(), dibs.WithConnectTimeout(2*time.Second))
	call := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", returning("v"), ttl) })
	// A wait is 30 s long, and its answer may take another 2 s.
	select {
	case got := <-call:
		want(t, got.value, got.err, "v")
	case <-time.After(25 * time.Second):
		t.Error("it does not go without the service")
	}
}

// connecting is a connection that is never there, as when a name server does not answer.
type connecting struct{ memoryConn }

func (connecting) GetState() connectivity.State { return connectivity.Connecting }
func (connecting) Connect()                     {}
func (connecting) WaitForStateChange(ctx context.Context, _ connectivity.State) bool {
	<-ctx.Done()
	return false
}

func TestAConnectionThatDoesNotComeIsWaitedForOnceForAllCalls(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		its := client(t, "", dibs.WithConn(connecting{}), dibs.WithConnectTimeout(2*time.Second), ttl)
		for _, takes := range []time.Duration{2 * time.Second, 0} {
			start := time.Now()
			value, err := dibs.Fetch(t.Context(), its, freshKey(), returning("v"))
			want(t, value, err, "v")
			if took := time.Since(start); took != takes {
				t.Errorf("it took %v", took)
			}
		}
	})
}
