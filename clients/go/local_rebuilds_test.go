package dibs

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestALocalRebuildThatIsOlderThanAChangeIsNeitherJoinedNorKept(t *testing.T) {
	for name, changes := range map[string]func(*Client){
		"a session begins":                  (*Client).sessionBegan,
		"a session tells of its key":        telling(&dibsv1.Invalidated{Namespace: "default", Keys: []string{"k"}}),
		"a session tells of a tag":          telling(&dibsv1.Invalidated{Tags: []string{"a"}}),
		"a session tells of the namespace":  telling(&dibsv1.Invalidated{Namespace: "default", All: true}),
		"the service answers another call":  func(its *Client) { its.local.forget() },
		"this client has invalidated a key": func(its *Client) { its.changed(change{"default", []string{"k"}, nil, false}) },
	} {
		t.Run(name, func(t *testing.T) { olderIsDropped(t, changes) })
	}
}

func telling(what *dibsv1.Invalidated) func(*Client) {
	return func(its *Client) { its.invalidated(what) }
}

func olderIsDropped(t *testing.T, changes func(*Client)) {
	t.Helper()
	life, id := newLifetime(), valueID{"default", "k"}
	client := &Client{local: newLocalRebuilds(life), flights: newFlights(life, func(string) bool { return true })}
	its := client.local
	end := make(chan struct{})
	old := make(chan result, 1)
	began := make(chan struct{})
	go func() {
		old <- its.join(t.Context(), localCallOf(id, time.Time{}, func(context.Context) (result, time.Duration) {
			close(began)
			<-end
			return result{value: []byte("old")}, time.Minute
		}))
	}()
	<-began
	changes(client)
	now := func(context.Context) (result, time.Duration) { return result{value: []byte("new")}, time.Minute }
	if got := its.join(t.Context(), localCallOf(id, time.Time{}, now)); string(got.value) != "new" {
		t.Errorf("joined %q", got.value)
	}
	close(end)
	if got := <-old; string(got.value) != "old" {
		t.Errorf("got %q", got.value)
	}
	if kept, _ := its.recent(id); string(kept.value) != "new" {
		t.Errorf("kept %q", kept.value)
	}
}

func localCallOf(id valueID, newerThan time.Time, start func(context.Context) (result, time.Duration)) localCall {
	return localCall{id, time.Now().Add(time.Minute), newerThan, func() {}, start}
}

// A refresh that finds the service away is often one of many. They share a rebuild that began after they had come.
func TestACallThatNeedsANewerValueSharesALocalRebuildThatBeganAfterIt(t *testing.T) {
	its, id := newLocalRebuilds(newLifetime()), valueID{"default", "k"}
	called := time.Now()
	time.Sleep(time.Millisecond)
	end, began := make(chan struct{}), make(chan struct{})
	first := make(chan result, 1)
	go func() {
		first <- its.join(t.Context(), localCallOf(id, called, func(context.Context) (result, time.Duration) {
			close(began)
			<-end
			return result{value: []byte("new")}, 0
		}))
	}()
	<-began
	joins := localCallOf(id, called, func(context.Context) (result, time.Duration) {
		t.Error("it did not join")
		return result{}, 0
	})
	joins.joined = func() { close(end) }
	if got := its.join(t.Context(), joins); string(got.value) != "new" {
		t.Errorf("got %q", got.value)
	}
	<-first
}

// However many others are kept. Otherwise later callers would get the older one.
func TestTheResultOfALaterLocalRebuildReplacesTheEarlierOne(t *testing.T) {
	// However long so many rebuilds take, none is too old to be kept.
	synctest.Test(t, func(t *testing.T) {
		its := newLocalRebuilds(newLifetime())
		rebuild := func(key, value string, newerThan time.Time) {
			id := valueID{"default", key}
			its.join(t.Context(), localCallOf(id, newerThan, func(context.Context) (result, time.Duration) {
				return result{value: []byte(value)}, time.Minute
			}))
		}
		for at := range keptMax {
			rebuild(fmt.Sprint(at), "old", time.Time{})
		}
		rebuild("one too many", "old", time.Time{})
		if _, isKept := its.recent(valueID{"default", "one too many"}); isKept {
			t.Error("there is no bound")
		}
		rebuild("7", "new", time.Now())
		if got, _ := its.recent(valueID{"default", "7"}); string(got.value) != "new" {
			t.Errorf("got %q", got.value)
		}
	})
}
