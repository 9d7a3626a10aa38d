package dibs_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestARebuildIsToldOfItsLeaseAndItsResultIsPublished(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(lease("token", 10_000))
	fake.publish.will(published(stored))
	value, err := fetch(t, fake, func(ctx context.Context) (string, error) {
		its := dibs.LeaseFrom(ctx)
		if its.Reason != "miss" || its.Fence != 4 {
			t.Errorf("told %v", its)
		}
		var before string
		if err := its.Previous(&before); !errors.Is(err, dibs.ErrNoPrevious) {
			t.Errorf("the value before: %q, %v", before, err)
		}
		return "v", nil
	}, dibs.WithStaleFor(time.Hour), dibs.WithTags("a", "b"))
	want(t, value, err, "v")
	request := fake.publish.heard()[0]
	if request.GetKey() != "k" || request.GetToken() != "token" || string(request.GetValue()) != "v" || request.GetTtlMs() != 60_000 ||
		request.GetStaleMs() != 3_600_000 || fmt.Sprint(request.GetTags()) != "[a b]" {
		t.Errorf("published %v", request)
	}
}

func TestNothingIsPublishedWithATimeOfItsOwn(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(lease("token", 10_000))
	fake.publish.will(published(stored))
	_, err := fetch(t, fake, failing(fmt.Errorf("user 42: %w", dibs.ErrAbsent)), dibs.WithAbsentTTL(time.Second))
	if !errors.Is(err, dibs.ErrAbsent) {
		t.Errorf("got %v", err)
	}
	if request := fake.publish.heard()[0]; !request.GetAbsent() || request.GetTtlMs() != 1000 || request.StaleMs != nil {
		t.Errorf("published %v", request)
	}
}

func TestAStaleValueIsServedAndRebuiltBehind(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(leaseBeside("token", "old"))
	fake.publish.will(published(stored))
	publishes := make(chan string, 1)
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), dibs.WithHooks(dibs.Hooks{
		Publish: func(e dibs.PublishEvent) { publishes <- e.Outcome },
	}))
	gate := make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	value, err := dibs.Fetch(ctx, its, "k", func(ctx context.Context) (string, error) {
		var before string
		if err := dibs.LeaseFrom(ctx).Previous(&before); err != nil || before != "old" {
			t.Errorf("the value before: %q, %v", before, err)
		}
		<-gate
		return "new", ctx.Err()
	}, ttl)
	want(t, value, err, "old")
	// Work in the background no longer belongs to its caller.
	leave()
	close(gate)
	if outcome := receive(t, "a publish", publishes); outcome != "stored" {
		t.Errorf("it was %s", outcome)
	}
}

func TestWhoeverAwaitsTheRebuildHasItsResult(t *testing.T) {
	for name, option := range map[string]dibs.FetchOption{"await": dibs.WithRevalidate(dibs.RevalidateAwait), "refresh": dibs.WithRefresh()} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.getOrLock.will(leaseBeside("token", "old"))
			fake.publish.will(published(stored))
			value, err := fetch(t, fake, returning("new"), option)
			want(t, value, err, "new")
		})
	}
}

func TestWhatFailsBehindIsToldToTheHook(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(leaseBeside("token", "old"))
	down := errors.New("down")
	told := make(chan error, 1)
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), dibs.WithHooks(dibs.Hooks{
		BackgroundError: func(e dibs.BackgroundErrorEvent) { told <- e.Err },
	}))
	value, err := dibs.Fetch(t.Context(), its, "k", failing(down), ttl)
	want(t, value, err, "old")
	if got := receive(t, "the hook", told); !errors.Is(got, down) {
		t.Errorf("told %v", got)
	}
	if message := fake.release.heard()[0].GetFailure().GetMessage(); message != "down" {
		t.Errorf("the waiters were told %q", message)
	}
}

func TestARebuildThatFails(t *testing.T) {
	panics := func(context.Context) (string, error) { panic("no such row") }
	ends := func(context.Context) (string, error) {
		runtime.Goexit()
		return "", nil
	}
	down := errors.New("down")
	tests := map[string]struct {
		rebuild func(context.Context) (string, error)
		message string
		backOff int64
	}{
		"tells its waiters":                             {failing(down), "down", -1},
		"may say how long to leave the source alone":    {failing(dibs.BackOff(down, 1500*time.Millisecond)), "down", 1500},
		"may say so anywhere in its chain":              {failing(fmt.Errorf("load: %w", dibs.BackOff(down, 0))), "load: down", 0},
		"cannot say what the service would refuse":      {failing(dibs.BackOff(down, time.Hour)), "down", -1},
		"by a panic is a failure like any other":        {panics, "dibs: the rebuild panicked: no such row", -1},
		"by the end of its goroutine is one like those": {ends, "dibs: the rebuild ended its goroutine", -1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.getOrLock.will(lease("token", 10_000))
			_, err := fetch(t, fake, test.rebuild)
			if err == nil || err.Error() != test.message {
				t.Errorf("got %v", err)
			}
			failure := fake.release.heard()[0].GetFailure()
			if failure.GetMessage() != test.message {
				t.Errorf("the waiters were told %q", failure.GetMessage())
			}
			if asked := failure.RetryAfterMs; (asked == nil) != (test.backOff < 0) || (asked != nil && *asked != test.backOff) {
				t.Errorf("asked for a back-off of %v", asked)
			}
			if len(fake.publish.heard()) > 0 {
				t.Error("something was published")
			}
		})
	}
}

func TestAResultCountsForItsCallerWhateverBecomesOfThePublish(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(lease("token", 10_000))
	fake.publish.will(unpublished(codes.Unavailable, "gone"), unpublished(codes.Unavailable, "gone"), published(stored))
	publishes := make(chan dibs.PublishEvent, 1)
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithHooks(dibs.Hooks{
		Publish: func(e dibs.PublishEvent) { publishes <- e },
	}))
	value, err := dibs.Fetch(t.Context(), its, "k", returning("v"), ttl)
	want(t, value, err, "v")
	if got := receive(t, "a publish", publishes); got.Outcome != "stored" || got.Fence != 4 || len(fake.publish.heard()) != 3 {
		t.Errorf("%v after %d publishes", got, len(fake.publish.heard()))
	}
}

func TestAPublishIsRepeatedThreeTimesAndThenGivenUp(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(lease("token", 10_000))
	fake.publish.will(refuses[*dibsv1.PublishRequest, *dibsv1.PublishResponse](codes.Unavailable, "gone", 1))
	told := make(chan error, 1)
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithHooks(dibs.Hooks{
		BackgroundError: func(e dibs.BackgroundErrorEvent) { told <- e.Err },
	}))
	value, err := dibs.Fetch(t.Context(), its, "k", returning("v"), ttl)
	want(t, value, err, "v")
	if got := receive(t, "the hook", told); status.Code(got) != codes.Unavailable || len(fake.publish.heard()) != 4 {
		t.Errorf("%v after %d publishes", got, len(fake.publish.heard()))
	}
	its.Flush(t.Context())
	if got := fake.release.heard(); len(got) != 1 || got[0].GetFailure() != nil {
		t.Errorf("released %v", got)
	}
}

func TestARepeatedPublishThatIsRefusedGivesTheLeaseBack(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(lease("token", 10_000))
	fake.publish.will(unpublished(codes.Unavailable, "gone"), unpublished(codes.ResourceExhausted, "value: too large"))
	told := make(chan error, 1)
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithHooks(dibs.Hooks{
		NotStorable: func(e dibs.NotStorableEvent) { told <- e.Err },
	}))
	value, err := dibs.Fetch(t.Context(), its, "k", returning("v"), ttl)
	want(t, value, err, "v")
	if got := receive(t, "the hook", told); status.Code(got) != codes.ResourceExhausted {
		t.Errorf("told %v", got)
	}
	its.Flush(t.Context())
	if got := fake.release.heard(); len(got) != 1 || got[0].GetFailure().GetMessage() != "value: too large" {
		t.Errorf("released %v", got)
	}
}

// The source has answered, and its answer is its caller's.
func TestAPublishThatIsRefusedCostsItsCallerNoValue(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.PermissionDenied, codes.ResourceExhausted, codes.Internal} {
		fake := startFake(t)
		fake.getOrLock.will(lease("token", 10_000))
		fake.publish.will(unpublished(code, "no"))
		told := make(chan error, 1)
		its := client(t, fake.target, dibs.WithSession(false), dibs.WithHooks(dibs.Hooks{
			NotStorable: func(e dibs.NotStorableEvent) { told <- e.Err },
		}))
		value, err := dibs.Fetch(t.Context(), its, "k", returning("v"), ttl)
		want(t, value, err, "v")
		if got := receive(t, "the hook", told); status.Code(got) != code {
			t.Errorf("told %v", got)
		}
		if got := fake.release.heard(); len(got) != 1 || got[0].GetFailure().GetMessage() != "no" {
			t.Errorf("released %v", got)
		}
	}
}

func TestALostLease(t *testing.T) {
	lost := ok[*dibsv1.ExtendRequest](&dibsv1.ExtendResponse{Outcome: dibsv1.ExtendOutcome_EXTEND_OUTCOME_LOST})
	untilLost := func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	t.Run("ends its rebuild, and the service is asked again", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(lease("token", 30), hit("theirs"))
		fake.extend.will(lost)
		var told atomic.Int64
		onFake(t, fake, func(t *testing.T, its *dibs.Client) {
			value, err := dibs.Fetch(t.Context(), its, "k", untilLost)
			want(t, value, err, "theirs")
		}, dibs.WithCodec(raw{}), dibs.WithHooks(dibs.Hooks{LeaseLost: func(dibs.LeaseLostEvent) { told.Add(1) }}))
		if told.Load() != 1 || len(fake.release.heard()) != 0 || len(fake.publish.heard()) != 0 {
			t.Errorf("told %d times", told.Load())
		}
	})
	t.Run("leaves the error where no time remains", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(lease("token", 30))
		fake.extend.will(lost)
		_, err := fetch(t, fake, untilLost, dibs.WithWait(0))
		if !errors.Is(err, dibs.ErrLeaseLost) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is not waited for, and its result is thrown away", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(lease("token", 30), hit("theirs"))
		fake.extend.will(lost)
		onFake(t, fake, func(t *testing.T, its *dibs.Client) {
			gate := make(chan struct{})
			value, err := dibs.Fetch(t.Context(), its, "k", func(context.Context) (string, error) {
				<-gate
				return "mine", nil
			})
			want(t, value, err, "theirs")
			close(gate)
		}, dibs.WithCodec(raw{}))
		if len(fake.publish.heard()) != 0 || len(fake.release.heard()) != 0 {
			t.Error("it was handed over")
		}
	})
	t.Run("by being held for too long is one too", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(lease("token", 300), hit("theirs"))
		fake.extend.will(ok[*dibsv1.ExtendRequest](&dibsv1.ExtendResponse{Outcome: dibsv1.ExtendOutcome_EXTEND_OUTCOME_EXTENDED, ExpiresInMs: 60_000}))
		onFake(t, fake, func(t *testing.T, its *dibs.Client) {
			value, err := dibs.Fetch(t.Context(), its, "k", untilLost)
			want(t, value, err, "theirs")
		}, dibs.WithCodec(raw{}), dibs.WithLeaseHoldMax(50*time.Millisecond))
		// The service believes that it is held, and would give it again to the same request.
		if released := fake.release.heard(); len(released) != 1 || released[0].GetToken() != "token" || released[0].GetFailure() != nil {
			t.Errorf("released %v", released)
		}
		if asked := fake.getOrLock.heard(); asked[0].GetRequestId() == asked[1].GetRequestId() {
			t.Error("it is asked for again")
		}
	})
}

func TestALeaseWhoseCallersHaveGoneIsGivenBack(t *testing.T) {
	t.Run("while the rebuild runs", func(t *testing.T) {
		fake := startFake(t)
		fake.getOrLock.will(lease("token", 10_000))
		its := client(t, fake.target, dibs.WithSession(false))
		ctx, leave := context.WithCancel(t.Context())
		begun := make(chan struct{})
		call := behind(func() (string, error) {
			return dibs.Fetch(ctx, its, "k", func(ctx context.Context) (string, error) {
				close(begun)
				<-ctx.Done()
				return "", ctx.Err()
			}, ttl)
		})
		receive(t, "a rebuild", begun)
		leave()
		receive(t, "the end", call)
		eventually(t, "a release", func() bool { return len(fake.release.heard()) == 1 })
		if failure := fake.release.heard()[0].GetFailure(); failure != nil {
			t.Errorf("with the failure %v", failure)
		}
	})
	t.Run("while it is on its way over a session", func(t *testing.T) {
		its := client(t, startService(t).target)
		for range 50 {
			key := freshKey()
			ctx, leave := context.WithCancel(t.Context())
			go leave()
			_, _ = dibs.Fetch(ctx, its, key, func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}, ttl)
			leave()
			eventually(t, "the lease is given back", func() bool {
				explained, err := its.Stub().Explain(t.Context(), &dibsv1.ExplainRequest{Key: key})
				return err == nil && explained.GetLease() == nil
			})
		}
	})
}
