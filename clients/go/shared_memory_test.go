package dibs_test

import (
	"context"
	"slices"
	"testing"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// A caller may use its memory again once its call has returned, although the call may go on behind.
func TestWhatACallIsGivenMayBeUsedAgain(t *testing.T) {
	t.Run("tags", func(t *testing.T) {
		fake := startFake(t)
		fake.getOrLock.will(leaseBeside("token", "old"))
		fake.publish.will(published(stored))
		its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}))
		rebuild, tags := newGated(), []string{"mine"}
		value, err := dibs.Fetch(t.Context(), its, "k", rebuild.load, ttl, dibs.WithTags(tags...))
		want(t, value, err, "old")
		tags[0] = "theirs"
		rebuild.returns <- fetched[string]{"new", nil}
		eventually(t, "a publish", func() bool { return len(fake.publish.heard()) == 1 })
		if got := fake.publish.heard()[0].GetTags(); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("published with %v", got)
		}
	})
	t.Run("the bytes of Set", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(lease("token", 60_000))
		fake.publish.will(published(stored))
		inFakeTime(t, func(t *testing.T) {
			gate := newTokenGate()
			its := client(t, "", dibs.WithConn(memoryConn{fake}), dibs.WithSession(false), dibs.WithTokenFunc(gate.token))
			ctx, leave := context.WithCancel(t.Context())
			value := []byte("mine")
			set := behind(func() (dibs.Stored, error) { return dibs.Set(ctx, its, "k", value, ttl) })
			gate.open(t) // GetOrLock
			receive(t, "the publish", gate.came)
			leave()
			receive(t, "the end", set)
			copy(value, "XXXX")
			gate.goes <- struct{}{}
			eventually(t, "a publish", func() bool { return len(fake.publish.heard()) == 1 })
		})
		if got := fake.publish.heard()[0].GetValue(); string(got) != "mine" {
			t.Errorf("published %s", got)
		}
	})
	t.Run("the keys and tags of Invalidate", func(t *testing.T) {
		keys, tags := []string{"mine"}, []string{"my tag"}
		for _, request := range dibs.RequestsOf(dibs.Invalidation{Keys: keys, Tags: tags}) {
			keys[0], tags[0] = "theirs", "their tag"
			if request.GetKeys()[0] != "mine" || request.GetTags()[0] != "my tag" {
				t.Errorf("asks for %v", request)
			}
		}
	})
}

// tokenGate holds each call until it may go on.
type tokenGate struct{ came, goes chan struct{} }

func newTokenGate() *tokenGate { return &tokenGate{make(chan struct{}), make(chan struct{})} }

func (g *tokenGate) token(context.Context) (string, error) {
	g.came <- struct{}{}
	<-g.goes
	return "secret", nil
}

func (g *tokenGate) open(t *testing.T) {
	t.Helper()
	receive(t, "a call", g.came)
	g.goes <- struct{}{}
}
