package dibs_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// nearStage is a client with a near cache, and its session; the service answers each question by the next of the values.
type nearStage struct {
	*dibs.Client
	t       *testing.T
	fake    *fakeService
	session *fakeSession
	others  <-chan *fakeSession
	asked   atomic.Int64
	freshMs int64
	tags    *dibsv1.Tags
	nears   atomic.Int64
	isAway  atomic.Bool
}

// newNearStage has a service on the network, which can be stopped. Its time is real: do not rely on what is live for 3 s
// after a beat.
func newNearStage(t *testing.T, options ...dibs.Option) *nearStage {
	t.Helper()
	return nearStageOf(t, startFake(t), options...)
}

// onNearStage runs a test in fake time.
func onNearStage(t *testing.T, test func(*nearStage), options ...dibs.Option) {
	t.Helper()
	inFakeTime(t, func(t *testing.T) {
		fake := newFake()
		test(nearStageOf(t, fake, append(options, dibs.WithConn(memoryConn{fake}))...))
	})
}

func nearStageOf(t *testing.T, fake *fakeService, options ...dibs.Option) *nearStage {
	t.Helper()
	sessions := sessionsOf(fake)
	n := &nearStage{t: t, fake: fake, others: sessions, freshMs: 60_000, tags: &dibsv1.Tags{}}
	options = append([]dibs.Option{
		dibs.WithCodec(raw{}), ttl, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}), dibs.WithHooks(dibs.Hooks{Hit: func(e dibs.HitEvent) {
			if e.IsNear {
				n.nears.Add(1)
			}
		}}),
	}, options...)
	n.Client = client(t, fake.target, options...)
	if err := n.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.session = receive(t, "a session", sessions)
	go n.serve(n.session)
	return n
}

// serve answers with "v1", "v2", and so on.
func (n *nearStage) serve(session *fakeSession) {
	for message := range session.came {
		for _, call := range message.GetCalls() {
			session.reply(n.answer(call))
		}
	}
}

func (n *nearStage) answer(call *dibsv1.SessionCall) *dibsv1.SessionReply {
	if call.GetGetOrLock() == nil {
		return &dibsv1.SessionReply{Id: call.GetId(), Response: &dibsv1.SessionReply_Invalidate{Invalidate: &dibsv1.InvalidateResponse{}}}
	}
	if n.isAway.Load() {
		return awayReply(call.GetId())
	}
	return &dibsv1.SessionReply{Id: call.GetId(), Response: &dibsv1.SessionReply_GetOrLock{GetOrLock: &dibsv1.GetOrLockResponse{
		Outcome: &dibsv1.GetOrLockResponse_Hit{Hit: &dibsv1.Hit{
			Payload:    &dibsv1.Hit_Value{Value: fmt.Appendf(nil, "v%d", n.asked.Add(1))},
			Freshness:  dibsv1.Freshness_FRESHNESS_FRESH,
			FreshForMs: n.freshMs,
			Tags:       n.tags,
		}},
	}}}
}

func (n *nearStage) fetch(key string, options ...dibs.FetchOption) string {
	n.t.Helper()
	value, err := dibs.Fetch(n.t.Context(), n.Client, key, returning("rebuilt"), options...)
	if err != nil {
		n.t.Fatal(err)
	}
	return value
}

func (n *nearStage) wants(key, value string, options ...dibs.FetchOption) {
	n.t.Helper()
	if got := n.fetch(key, options...); got != value {
		n.t.Errorf("got %s, want %s", got, value)
	}
}

// tell sends events, and waits until the client has heard them.
func (n *nearStage) tell(events ...*dibsv1.SessionEvent) {
	n.t.Helper()
	n.session.going <- &dibsv1.SessionResponse{Events: events}
	// Messages come in order: when this is answered, it has.
	n.fetch(freshKey(), dibs.WithRead(dibs.ReadStore))
	n.asked.Add(-1)
}

func invalidatedEvent(its *dibsv1.Invalidated) *dibsv1.SessionEvent {
	return &dibsv1.SessionEvent{Event: &dibsv1.SessionEvent_Invalidated{Invalidated: its}}
}

var beat = &dibsv1.SessionEvent{Event: &dibsv1.SessionEvent_Beat{Beat: &dibsv1.Beat{}}}
