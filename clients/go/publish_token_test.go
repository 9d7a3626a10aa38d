package dibs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// The source has answered by then, and the token may be there a moment later.
func TestAPublishWithoutATokenIsMadeAgain(t *testing.T) {
	var misses atomic.Int64
	token := func(context.Context) (string, error) {
		if misses.Add(-1) >= 0 {
			return "", errors.New("no token at this moment")
		}
		return "token", nil
	}
	missing := func(times int64) func(context.Context) (string, error) {
		return func(context.Context) (string, error) {
			misses.Store(times)
			return "v", nil
		}
	}
	fake := startFake(t)
	fake.getOrLock.will(lease("lease", 10_000))
	fake.publish.will(published(stored))
	its := client(t, fake.target, dibs.WithCodec(raw{}), dibs.WithSession(false), ttl, dibs.WithTokenFunc(token))
	value, err := dibs.Fetch(t.Context(), its, "k", missing(2))
	want(t, value, err, "v")
	if err := its.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if published := fake.publish.heard(); len(published) != 1 || published[0].GetKey() != "k" {
		t.Errorf("published %v", published)
	}
	if released := fake.release.heard(); len(released) > 0 {
		t.Errorf("released %v", released)
	}
	setsAgain(t, its, fake, &misses)
}

func setsAgain(t *testing.T, its *dibs.Client, fake *fakeService, misses *atomic.Int64) {
	t.Helper()
	fake.getOrLock.will(func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
		misses.Store(2)
		return lease("lease", 10_000)(ctx, in)
	})
	if stored, err := dibs.Set(t.Context(), its, "set", "v"); err != nil || !stored.IsStored {
		t.Errorf("got %v, %v", stored, err)
	}
}
