package dibs_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// goroutines counts those that run code of the client.
func goroutines() int {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	count := 0
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "dibs-cache/dibs/clients/go.") {
			count++
		}
	}
	return count
}

func TestCallsThatWereCancelledLeaveNoGoroutine(t *testing.T) {
	const many = 50
	never := hangs[*dibsv1.GetOrLockRequest, *dibsv1.GetOrLockResponse]
	untilLeft := func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	for name, test := range map[string]struct {
		answer asked
		call   func(context.Context, *dibs.Client)
	}{
		"that waited": {never, func(ctx context.Context, its *dibs.Client) {
			_, _ = dibs.Fetch(ctx, its, freshKey(), untilLeft)
		}},
		"that waited for another call": {never, func(ctx context.Context, its *dibs.Client) {
			_, _ = dibs.Fetch(ctx, its, "k", untilLeft)
		}},
		"that rebuilt": {lease("token", 60_000), func(ctx context.Context, its *dibs.Client) {
			_, _ = dibs.Fetch(ctx, its, freshKey(), untilLeft)
		}},
		"that shared a rebuild": {lease("token", 60_000), func(ctx context.Context, its *dibs.Client) {
			_, _ = dibs.Fetch(ctx, its, "k", untilLeft)
		}},
		"that rebuilt without the service": {unavailable(-1), func(ctx context.Context, its *dibs.Client) {
			_, _ = dibs.Fetch(ctx, its, freshKey(), untilLeft)
		}},
		"that read": {never, func(ctx context.Context, its *dibs.Client) {
			_, _, _ = dibs.Get[string](ctx, its, freshKey(), dibs.WithWait(time.Minute))
		}},
		"that wrote": {never, func(ctx context.Context, its *dibs.Client) {
			_, _ = dibs.Set(ctx, its, freshKey(), "v")
		}},
		"that waited for many keys": {never, func(ctx context.Context, its *dibs.Client) {
			_, _ = dibs.FetchMany(ctx, its, []string{freshKey(), freshKey()}, rebuiltAs("v"), dibs.WithRefresh())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t)
			fake.getOrLock.will(hit("v"))
			its := client(t, fake.target, ttl, dibs.WithSession(false), dibs.WithCodec(raw{}))
			if err := its.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := dibs.Fetch(t.Context(), its, freshKey(), untilLeft); err != nil {
				t.Fatal(err)
			}
			fake.getOrLock.will(test.answer)
			before := goroutines()
			ctx, leave := context.WithCancel(t.Context())
			ended := make(chan struct{}, many)
			for range many {
				go func() {
					test.call(ctx, its)
					ended <- struct{}{}
				}()
			}
			time.Sleep(50 * time.Millisecond)
			leave()
			for range many {
				receive(t, "the end of a call", ended)
			}
			eventually(t, "nothing of them runs", func() bool { return goroutines() <= before })
		})
	}
}

// A test that fails within a hook or a codec ends its goroutine.
func TestUserCodeThatEndsItsGoroutineEndsItsCall(t *testing.T) {
	end := func() { runtime.Goexit() }
	for name, test := range map[string]struct {
		answer asked
		hooks  dibs.Hooks
	}{
		"a hit":                         {hit("v"), dibs.Hooks{Hit: func(dibs.HitEvent) { end() }}},
		"a wait":                        {failed("f", 1000), dibs.Hooks{Wait: func(dibs.WaitEvent) { end() }}},
		"a publish":                     {lease("token", 60_000), dibs.Hooks{Publish: func(dibs.PublishEvent) { end() }}},
		"a rebuild without the service": {unavailable(-1), dibs.Hooks{LocalRebuild: func(dibs.LocalRebuildEvent) { end() }}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t)
			fake.getOrLock.will(func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
				time.Sleep(20 * time.Millisecond)
				return test.answer(ctx, in)
			})
			fake.publish.will(published(stored))
			its := client(t, fake.target, ttl, dibs.WithSession(false), dibs.WithHooks(test.hooks))
			call := behind(func() (string, error) { return dibs.Fetch(context.Background(), its, "k", returning("v")) })
			if got := receive(t, "the end", call); got.err == nil {
				t.Errorf("got %q", got.value)
			}
			_ = its.Close()
		})
	}
}
