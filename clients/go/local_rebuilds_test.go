package dibs

import (
	"context"
	"testing"
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
		old <- its.join(t.Context(), id, time.Now().Add(time.Minute), func(context.Context) (result, time.Duration) {
			close(began)
			<-end
			return result{value: []byte("old")}, time.Minute
		})
	}()
	<-began
	changes(client)
	now := func(context.Context) (result, time.Duration) { return result{value: []byte("new")}, time.Minute }
	if got := its.join(t.Context(), id, time.Now().Add(time.Minute), now); string(got.value) != "new" {
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
