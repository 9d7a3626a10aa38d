package dibs_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestANearHitCostsNoCall(t *testing.T) {
	onNearStage(t, func(n *nearStage) {
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
	})
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
			onNearStage(t, func(n *nearStage) {
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
		})
	}
}

func TestANearEntryIsDroppedByTheProcesssOwnInvalidation(t *testing.T) {
	for name, what := range map[string]dibs.Invalidation{
		"key": {Keys: []string{"k"}}, "tag": {Tags: []string{"a"}}, "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			onNearStage(t, func(n *nearStage) {
				n.tags = &dibsv1.Tags{Names: []string{"a"}}
				n.wants("k", "v1")
				if _, err := n.Invalidate(n.t.Context(), what); err != nil {
					t.Fatal(err)
				}
				n.wants("k", "v2")
			})
		})
	}
}

func TestANearEntryIsServedForItsTimeAndWithABeat(t *testing.T) {
	onNearStage(t, func(n *nearStage) {
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
	})
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
		"of the process's own": func(n *nearStage) {
			invalidation := behind(func() (dibs.Invalidated, error) {
				return n.Invalidate(n.t.Context(), dibs.Invalidation{Keys: []string{"k"}})
			})
			n.session.reply(n.answer(n.session.call(n.t)))
			if got := receive(n.t, "the invalidation", invalidation); got.err != nil {
				n.t.Fatal(got.err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inSessions(t, func(t *testing.T, its *dibs.Client, sessions <-chan *fakeSession) {
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
			}, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
		})
	}
}

func TestUnderAWatchCallersJoinARequestThatIsUnderWay(t *testing.T) {
	inSessions(t, func(t *testing.T, its *dibs.Client, sessions <-chan *fakeSession) {
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
		// The event is heard by then.
		synctest.Wait()
		late := inSession(t, its, "k")
		again := n.session.call(t)
		n.session.reply(n.answer(asked))
		for _, call := range []<-chan fetched[string]{one, joined} {
			got := receive(t, "the value", call)
			want(t, got.value, got.err, "v1")
		}
		n.session.reply(n.answer(again))
		got := receive(t, "the newer value", late)
		want(t, got.value, got.err, "v2")
	}, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
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
