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

// withoutAnswers is a client whose sessions stand, and whose calls fail as if the service could not be reached.
type withoutAnswers struct {
	*nearStage
	rebuilds atomic.Int64
}

// awayReply says without a hint that no answer can be had.
func awayReply(id int64) *dibsv1.SessionReply {
	away := &dibsv1.CallError{Code: int32(codes.Unavailable), Message: "away"}
	return &dibsv1.SessionReply{Id: id, Response: &dibsv1.SessionReply_Error{Error: away}}
}

// onWithoutAnswers runs a test in fake time.
func onWithoutAnswers(t *testing.T, test func(*withoutAnswers)) {
	t.Helper()
	onNearStage(t, func(n *nearStage) {
		n.isAway.Store(true)
		test(&withoutAnswers{nearStage: n})
	})
}

// wantsRebuilt is how many rebuilds there were by then. The value is that of the last one.
func (w *withoutAnswers) wantsRebuilt(times int64) {
	w.t.Helper()
	value, err := dibs.Fetch(w.t.Context(), w.Client, "k", func(context.Context) (string, error) {
		return fmt.Sprint(w.rebuilds.Add(1)), nil
	})
	want(w.t, value, err, fmt.Sprint(times))
}

func TestWhatWasMadeWithoutTheServiceIsDropped(t *testing.T) {
	for name, test := range map[string]struct {
		what  *dibsv1.Invalidated
		drops bool
	}{
		"by a change of its key":               {&dibsv1.Invalidated{Namespace: "default", Keys: []string{"other", "k"}}, true},
		"not by a change of another key":       {&dibsv1.Invalidated{Namespace: "default", Keys: []string{"other"}}, false},
		"by a change of any tag":               {&dibsv1.Invalidated{Namespace: "default", Tags: []string{"a"}}, true},
		"by a change of everything":            {&dibsv1.Invalidated{Namespace: "default", All: true}, true},
		"not by a change of another namespace": {&dibsv1.Invalidated{Namespace: "other", All: true, Keys: []string{"k"}}, false},
	} {
		t.Run(name+" that a session tells of", func(t *testing.T) {
			onWithoutAnswers(t, func(w *withoutAnswers) {
				w.wantsRebuilt(1)
				w.wantsRebuilt(1)
				w.tell(invalidatedEvent(test.what))
				if test.drops {
					w.wantsRebuilt(2)
					w.wantsRebuilt(2)
				} else {
					w.wantsRebuilt(1)
				}
			})
		})
	}
}

func TestWhatWasMadeWithoutTheServiceIsDroppedWhenASessionBegins(t *testing.T) {
	onWithoutAnswers(t, func(w *withoutAnswers) {
		w.wantsRebuilt(1)
		w.wantsRebuilt(1)
		w.session.over <- status.Error(codes.Unavailable, "gone")
		// The break is heard by then.
		synctest.Wait()
		opens := inSession(w.t, w.Client, freshKey())
		w.session = receive(w.t, "a session", w.others)
		go w.serve(w.session)
		receive(w.t, "the end", opens)
		w.wantsRebuilt(2)
		w.wantsRebuilt(2)
	})
}

func TestATokenThatCannotBeHadIsNoAnswerOfTheService(t *testing.T) {
	for _, session := range []bool{true, false} {
		var fault atomic.Value
		fault.Store("")
		token := func(context.Context) (string, error) {
			if text := fault.Load().(string); text != "" {
				return "", errors.New(text)
			}
			return "t", nil
		}
		its := client(t, nowhere(t), dibs.WithSession(session), dibs.WithTokenFunc(token))
		value, err := dibs.Fetch(t.Context(), its, "k", returning("kept"), dibs.WithTTL(time.Minute))
		want(t, value, err, "kept")
		fault.Store("no token today")
		if _, err := dibs.Fetch(t.Context(), its, "k", returning("-"), dibs.WithTTL(time.Minute)); err == nil {
			t.Error("a call without a token has a value")
		}
		fault.Store("")
		value, err = dibs.Fetch(t.Context(), its, "k", returning("new"), dibs.WithTTL(time.Minute))
		want(t, value, err, "kept")
	}
}

func TestWhatWasFreshIsServedEvenToACallThatWouldFail(t *testing.T) {
	n := newNearStage(t, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: true}))
	n.wants("k", "v1")
	n.fake.server.Stop()
	eventually(t, "it has noticed", func() bool { return n.fetch(freshKey()) == "rebuilt" })
	fails := dibs.WithOnUnavailable(dibs.OnUnavailableFail)
	n.wants("k", "v1", fails)
	n.wants("k", "v1", dibs.WithRevalidate(dibs.RevalidateAwaitElseStale))
	for _, options := range [][]dibs.FetchOption{{fails, dibs.WithStale(dibs.StaleForbid)}, {fails, dibs.WithRefresh()}} {
		if value, err := dibs.Fetch(t.Context(), n.Client, "k", returning("rebuilt"), options...); status.Code(err) != codes.Unavailable {
			t.Errorf("got %s, %v", value, err)
		}
	}
}
