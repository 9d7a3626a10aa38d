package dibs_test

import (
	"context"
	"testing"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// blockedRebuild runs in this process without the service, until its end is closed. Its value is "old".
type blockedRebuild struct {
	end   chan struct{}
	value <-chan fetched[string]
}

func begins(t *testing.T, its *dibs.Client, key string) *blockedRebuild {
	t.Helper()
	b, began := &blockedRebuild{end: make(chan struct{})}, make(chan struct{})
	b.value = behind(func() (string, error) {
		return dibs.Fetch(context.Background(), its, key, func(context.Context) (string, error) {
			close(began)
			<-b.end
			return "old", nil
		})
	})
	receive(t, "a rebuild", began)
	return b
}

func TestACallThatNeedsANewerValueSharesNoLocalRebuildFromBeforeIt(t *testing.T) {
	for name, option := range map[string]dibs.FetchOption{
		"a refresh":     dibs.WithRefresh(),
		"a strict read": dibs.WithRead(dibs.ReadStore),
	} {
		t.Run(name, func(t *testing.T) {
			its := client(t, nowhere(t), ttl)
			old := begins(t, its, "k")
			value, err := dibs.Fetch(t.Context(), its, "k", returning("new"), option, dibs.WithWait(5*time.Second))
			want(t, value, err, "new")
			close(old.end)
			got := receive(t, "the older one", old.value)
			want(t, got.value, got.err, "old")
			value, err = dibs.Fetch(t.Context(), its, "k", returning("newest"))
			want(t, value, err, "new")
		})
		t.Run(name+" of many keys", func(t *testing.T) {
			its := client(t, nowhere(t), ttl)
			old := begins(t, its, "k")
			defer close(old.end)
			values, err := dibs.FetchMany(t.Context(), its, []string{"k"}, rebuiltAs("new"), option, dibs.WithWait(5*time.Second))
			want(t, values["k"], err, "new")
		})
	}
}

func TestKeysWithoutTheServiceDoNotWaitForARebuildOfAnotherCall(t *testing.T) {
	its := client(t, nowhere(t), ttl)
	old := begins(t, its, "a")
	rebuilt := make(chan []string, 2)
	call := behind(func() (map[string]string, error) {
		return dibs.FetchMany(context.Background(), its, []string{"a", "b"}, func(ctx context.Context, keys []string) (map[string]string, error) {
			rebuilt <- keys
			return rebuiltAs("new")(ctx, keys)
		})
	})
	if keys := receive(t, "the rebuild of the other key", rebuilt); len(keys) != 1 || keys[0] != "b" {
		t.Errorf("rebuilt %v", keys)
	}
	close(old.end)
	got := receive(t, "the values", call)
	if got.err != nil || got.value["a"] != "old" || got.value["b"] != "new" {
		t.Errorf("got %v and %v", got.value, got.err)
	}
}
