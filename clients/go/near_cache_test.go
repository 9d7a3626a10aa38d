package dibs_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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

func newNearStage(t *testing.T, options ...dibs.Option) *nearStage {
	t.Helper()
	fake := startFake(t)
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

func TestANearHitCostsNoCall(t *testing.T) {
	n := newNearStage(t)
	if watched := n.session.hello.GetWatchedNamespaces(); fmt.Sprint(watched) != "[default]" {
		t.Errorf("it watches %v", watched)
	}
	n.wants("k", "v1")
	n.wants("k", "v1")
	if n.asked.Load() != 1 || n.nears.Load() != 1 {
		t.Errorf("asked %d times, %d near hits", n.asked.Load(), n.nears.Load())
	}
	n.wants("k", "v2", dibs.WithRead(dibs.ReadStore))
	n.wants("k", "v2")
	n.wants("k", "v3", dibs.WithRefresh())
	n.wants("other", "v4", dibs.WithNamespace("unwatched"))
	n.wants("other", "v5", dibs.WithNamespace("unwatched"))
}

func TestANearEntryIsDropped(t *testing.T) {
	unknown := (*dibsv1.Tags)(nil)
	for name, test := range map[string]struct {
		tags  *dibsv1.Tags
		what  *dibsv1.Invalidated
		drops bool
	}{
		"by its key":                      {&dibsv1.Tags{}, &dibsv1.Invalidated{Namespace: "default", Keys: []string{"other", "k"}}, true},
		"not by another key":              {&dibsv1.Tags{}, &dibsv1.Invalidated{Namespace: "default", Keys: []string{"other"}}, false},
		"by a tag of its own":             {&dibsv1.Tags{Names: []string{"a", "b"}}, &dibsv1.Invalidated{Namespace: "default", Tags: []string{"b"}}, true},
		"not by a tag of others":          {&dibsv1.Tags{Names: []string{"a"}}, &dibsv1.Invalidated{Namespace: "default", Tags: []string{"b"}}, false},
		"by any tag, if its are not told": {unknown, &dibsv1.Invalidated{Namespace: "default", Tags: []string{"b"}}, true},
		"by everything":                   {&dibsv1.Tags{}, &dibsv1.Invalidated{Namespace: "default", All: true}, true},
		"not by everything elsewhere":     {&dibsv1.Tags{}, &dibsv1.Invalidated{Namespace: "other", All: true, Keys: []string{"k"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNearStage(t)
			n.tags = test.tags
			n.wants("k", "v1")
			n.tell(invalidatedEvent(test.what))
			if test.drops {
				n.wants("k", "v2")
				n.wants("k", "v2")
			} else {
				n.wants("k", "v1")
			}
		})
	}
}

func TestANearEntryIsDroppedByTheProcesssOwnInvalidation(t *testing.T) {
	for name, what := range map[string]dibs.Invalidation{
		"key": {Keys: []string{"k"}}, "tag": {Tags: []string{"a"}}, "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNearStage(t)
			n.tags = &dibsv1.Tags{Names: []string{"a"}}
			n.wants("k", "v1")
			if _, err := n.Invalidate(t.Context(), what); err != nil {
				t.Fatal(err)
			}
			n.wants("k", "v2")
		})
	}
}

func TestANearEntryIsServedForItsTimeAndWithABeat(t *testing.T) {
	n := newNearStage(t)
	n.freshMs = 50
	n.wants("short", "v1")
	time.Sleep(60 * time.Millisecond)
	n.wants("short", "v2")
	n.freshMs = 0
	n.wants("none", "v3")
	n.wants("none", "v4")
	n.freshMs = 60_000
	n.wants("k", "v5")
	n.wants("k", "v5")
	time.Sleep(3100 * time.Millisecond)
	n.wants("k", "v6")
	n.tell(beat)
	n.wants("k", "v7")
}

func TestNearEntriesAreDroppedWhenTheSessionBreaks(t *testing.T) {
	for _, serves := range []bool{false, true} {
		t.Run(fmt.Sprintf("serving without the service: %v", serves), func(t *testing.T) {
			nearEntriesAreDropped(t, dibs.NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: serves})
		})
	}
}

func nearEntriesAreDropped(t *testing.T, near dibs.NearCache) {
	t.Helper()
	n := newNearStage(t, dibs.WithNearCache(near))
	n.wants("k", "v1")
	n.session.over <- status.Error(codes.Unavailable, "gone")
	eventually(t, "it has noticed", func() bool {
		select {
		case session := <-n.others:
			n.session = session
			go n.serve(session)
			return true
		default:
			go func() { _, _ = dibs.Fetch(context.Background(), n.Client, freshKey(), returning("")) }()
			time.Sleep(10 * time.Millisecond)
			return false
		}
	})
	if n.fetch("k") == "v1" {
		t.Error("it is still there")
	}
}

func TestNoAnswerIsKeptThatWasOvertakenByAChange(t *testing.T) {
	for name, change := range map[string]func(*nearStage){
		"that was told": func(n *nearStage) {
			n.session.going <- &dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{
				invalidatedEvent(&dibsv1.Invalidated{Namespace: "default", Keys: []string{"k"}}),
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t)
			sessions := sessionsOf(fake)
			its := client(t, fake.target, dibs.WithCodec(raw{}), ttl, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
			n := &nearStage{Client: its, t: t, freshMs: 60_000}
			call := inSession(t, its, "k")
			n.session = receive(t, "a session", sessions)
			asked := n.session.call(t)
			change(n)
			n.session.reply(n.answer(asked))
			got := receive(t, "the value", call)
			want(t, got.value, got.err, "v1")
			go n.serve(n.session)
			n.wants("k", "v2")
			n.wants("k", "v2")
		})
	}
	t.Run("of the process's own", func(t *testing.T) {
		fake := startFake(t)
		sessions := sessionsOf(fake)
		its := client(t, fake.target, dibs.WithCodec(raw{}), ttl, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
		n := &nearStage{Client: its, t: t, freshMs: 60_000}
		call := inSession(t, its, "k")
		n.session = receive(t, "a session", sessions)
		asked := n.session.call(t)
		invalidation := behind(func() (dibs.Invalidated, error) {
			return its.Invalidate(t.Context(), dibs.Invalidation{Keys: []string{"k"}})
		})
		n.session.reply(n.answer(n.session.call(t)))
		if got := receive(t, "the invalidation", invalidation); got.err != nil {
			t.Fatal(got.err)
		}
		n.session.reply(n.answer(asked))
		got := receive(t, "the value", call)
		want(t, got.value, got.err, "v1")
		go n.serve(n.session)
		n.wants("k", "v2")
	})
}

func TestUnderAWatchCallersJoinARequestThatIsUnderWay(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	its := client(t, fake.target, dibs.WithCodec(raw{}), ttl, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
	if err := its.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := &nearStage{Client: its, t: t, freshMs: 60_000, session: receive(t, "a session", sessions)}
	one := inSession(t, its, "k")
	asked := n.session.call(t)
	joined := inSession(t, its, "k")
	joins(t, its, "k")
	n.session.going <- &dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{
		invalidatedEvent(&dibsv1.Invalidated{Namespace: "default", Tags: []string{"x"}}), beat,
	}}
	// The event is heard when the next call comes: it has not joined.
	var late *dibsv1.SessionCall
	var lates []<-chan fetched[string]
	eventually(t, "a call of its own", func() bool {
		lates = append(lates, inSession(t, its, "k"))
		select {
		case message := <-n.session.came:
			late = message.GetCalls()[0]
			return true
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
	n.session.reply(n.answer(asked))
	for _, call := range []<-chan fetched[string]{one, joined} {
		got := receive(t, "the value", call)
		want(t, got.value, got.err, "v1")
	}
	n.session.reply(n.answer(late))
	got := receive(t, "the newer value", lates[len(lates)-1])
	want(t, got.value, got.err, "v2")
}

func TestWithoutTheServiceWhatWasFreshIsServedAsStaleWhereAskedFor(t *testing.T) {
	for _, serves := range []bool{true, false} {
		var stale atomic.Int64
		n := newNearStage(t, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: serves}), dibs.WithHooks(dibs.Hooks{
			Hit: func(e dibs.HitEvent) {
				if e.IsNear && e.Freshness == "stale" {
					stale.Add(1)
				}
			},
		}))
		n.wants("k", "v1")
		n.wants("strict", "v2")
		n.fake.server.Stop()
		eventually(t, "it has noticed", func() bool { return n.fetch(freshKey()) == "rebuilt" })
		if serves {
			n.wants("k", "v1")
			n.wants("strict", "rebuilt", dibs.WithStale(dibs.StaleForbid))
		} else {
			n.wants("k", "rebuilt")
		}
		if (stale.Load() == 1) != serves {
			t.Errorf("%d were told as stale", stale.Load())
		}
	}
}

func TestANearCacheIsBounded(t *testing.T) {
	n := newNearStage(t, dibs.WithNearCache(dibs.NearCache{MaxBytes: 10_000}))
	for range 500 {
		n.fetch(freshKey())
	}
	asked := n.asked.Load()
	n.fetch("the first of all")
	if n.asked.Load() != asked+1 {
		t.Error("it was never asked for")
	}
	for _, options := range []dibs.NearCache{{}, {MaxBytes: 1, Namespaces: make([]string, 65)}} {
		_, err := dibs.New("127.0.0.1:1", dibs.WithNearCache(options))
		var refused *dibs.Error
		if !errors.As(err, &refused) || refused.Code != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
	}
}
