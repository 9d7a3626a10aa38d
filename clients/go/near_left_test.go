package dibs

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// After a break, the service may have reported changes that this process missed.
func TestWhatOutlivedABreakIsServedUntilASessionBegins(t *testing.T) {
	played(t, NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: true}, func(p *playedStage) {
		p.fetch("k")
		p.reply(p.call(), freshFor(600_000))
		close(p.session.over)
		synctest.Wait()
		wantsLast := func(isServed bool) {
			t.Helper()
			if _, ok := p.near.last(valueID{"default", "k"}); ok != isServed {
				t.Errorf("without the service, it is served: %v", ok)
			}
		}
		wantsLast(true)
		time.Sleep(time.Second)
		wantsLast(true)
		p.fetch("opens a session")
		p.session = <-p.sessions
		p.reply(p.call(), freshFor(600_000))
		wantsLast(false)
		p.fetch("another")
		p.reply(p.call(), freshFor(600_000))
		p.wantsNear("another", true, true)
		if _, ok := p.near.last(valueID{"default", "another"}); !ok {
			t.Error("a later one is not served without the service")
		}
		close(p.session.over)
		synctest.Wait()
		wantsLast(false)
	})
}

// Something in between may break streams and let single calls through. Their answers are newer than what is left.
func TestNothingOlderThanAnAnswerIsServedWithoutTheService(t *testing.T) {
	for name, isMany := range map[string]bool{"one key": false, "many keys": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &unaryConn{playedConn: playedConn{make(chan *playedSession, 10)}}
				near := NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: true}
				client, err := New("", WithConn(conn), WithNearCache(near), WithTTL(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = client.Close() }()
				if err := client.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				p := &playedStage{client, t, <-conn.sessions, conn.sessions}
				for _, key := range []string{"k", "another"} {
					p.fetch(key)
					p.reply(p.call(), freshFor(600_000))
				}
				conn.isBroken.Store(true)
				close(p.session.over)
				synctest.Wait()
				if isMany {
					_, err = FetchMany(t.Context(), client, []string{"k"}, func(context.Context, []string) (map[string][]byte, error) { return nil, nil })
				} else {
					_, err = Fetch(t.Context(), client, "k", rebuildUntilTheEnd)
				}
				if err != nil {
					t.Fatal(err)
				}
				for key, isServed := range map[string]bool{"k": false, "another": true} {
					if _, ok := p.near.last(valueID{"default", key}); ok != isServed {
						t.Errorf("without the service, %s is served: %v", key, ok)
					}
				}
			})
		})
	}
}

// unaryConn answers single calls with hits that are not fresh for any time. Once it is broken, it has no more sessions.
type unaryConn struct {
	playedConn
	isBroken atomic.Bool
}

func (c *unaryConn) Invoke(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	proto.Merge(reply.(proto.Message), freshFor(0))
	return nil
}

func (c *unaryConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if method == dibsv1.CoordinatorService_GetOrLockMany_FullMethodName {
		return &unaryStream{playedSession: playedSession{ctx: ctx}}, nil
	}
	if c.isBroken.Load() {
		return nil, status.Error(codes.Unavailable, "streams break")
	}
	return c.playedConn.NewStream(ctx, desc, method, options...)
}

// unaryStream has the answers for many keys.
type unaryStream struct {
	playedSession
	keys []string
}

func (s *unaryStream) SendMsg(message any) error {
	s.keys = message.(*dibsv1.GetOrLockManyRequest).GetKeys()
	return nil
}

func (s *unaryStream) RecvMsg(into any) error {
	if len(s.keys) == 0 {
		return io.EOF
	}
	answer := &dibsv1.GetOrLockManyResponse{
		Key:    s.keys[0],
		Result: &dibsv1.GetOrLockManyResponse_Response{Response: freshFor(0)},
	}
	s.keys = s.keys[1:]
	proto.Merge(into.(proto.Message), answer)
	return nil
}

// A replica that drains, or that knows the token of a session no more, reports no changes on it. It may go on with its
// beats. A call that is still open keeps the stream.
func TestASessionThatIsLeftServesNothingFromThisProcess(t *testing.T) {
	refusal := &dibsv1.SessionReply_Error{Error: &dibsv1.CallError{Code: int32(codes.Unauthenticated)}}
	for name, leaves := range map[string]func(*playedStage){
		"it drains": func(p *playedStage) { p.tell(draining) },
		"it is refused": func(p *playedStage) {
			p.fetch("refused")
			p.tell(&dibsv1.SessionResponse{Replies: []*dibsv1.SessionReply{{Id: p.call().GetId(), Response: refusal}}})
		},
		"the pool leaves it": func(p *playedStage) { p.Client.sessions.(*sessionPool).first.leave() },
	} {
		t.Run(name, func(t *testing.T) {
			played(t, someNear, func(p *playedStage) {
				p.fetch("k")
				p.reply(p.call(), freshFor(60_000))
				p.fetch("open")
				open := p.call()
				p.wantsNear("k", true, true)
				leaves(p)
				p.beat()
				p.wantsNear("k", false, false)
				p.reply(open, freshFor(60_000))
				p.wantsNear("open", false, false)
			})
		})
	}
}

// It waited for the stream, and went to a replica that may report no more changes. Another session has just begun, and
// reports only later ones.
func TestAnAnswerToACallThatIsSentAsItsSessionIsLeftIsNotKept(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		for len(p.session.came) < cap(p.session.came) {
			p.session.came <- &dibsv1.SessionRequest{}
		}
		p.fetch("holds the stream up")
		synctest.Wait()
		p.fetch("k")
		synctest.Wait()
		p.tell(draining)
		p.sessionBegan()
		another := &heartbeat{}
		another.beat()
		p.sessionOpened(another)
		p.call()
		p.reply(p.call(), freshFor(60_000))
		p.wantsNear("k", false, false)
	})
}
