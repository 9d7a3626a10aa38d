package dibs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibstest"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// nasty is an error of a user's whose methods panic.
type nasty struct{ text string }

func (n *nasty) Error() string             { return n.text }
func (n *nasty) RetryAfter() time.Duration { return time.Duration(len(n.text)) }

func TestAnErrorWhoseMethodsPanicIsAFailureLikeAnyOther(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(lease("token", 10_000))
	var none *nasty
	_, err := fetch(t, fake, failing(none))
	if its, ok := err.(*nasty); !ok || its != nil {
		t.Errorf("it is not the user's own: %T", err)
	}
	if failure := fake.release.heard()[0].GetFailure(); !strings.Contains(failure.GetMessage(), "*dibs_test.nasty") || failure.RetryAfterMs != nil {
		t.Errorf("the waiters were told %v", failure)
	}
}

// explosive is a codec that panics.
type explosive struct{}

func (explosive) Marshal(any) ([]byte, error)     { panic("cannot write") }
func (explosive) Unmarshal(_ []byte, _ any) error { panic("cannot read") }

func TestACodecThatPanicsIsAnError(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(lease("token", 10_000))
	var panicked *dibs.PanicError
	if _, err := fetch(t, fake, returning("v"), dibs.WithCodec(explosive{})); !errors.As(err, &panicked) || panicked.Value != "cannot write" {
		t.Errorf("got %v", err)
	}
	fake.getOrLock.will(hit("v"))
	if _, err := fetch(t, fake, returning("v"), dibs.WithCodec(explosive{})); !errors.As(err, &panicked) || panicked.Value != "cannot read" {
		t.Errorf("got %v", err)
	}
}

func TestOptionsOutOfBoundsAreRefusedBeforeTheRebuild(t *testing.T) {
	year := 365 * 24 * time.Hour
	fake := newFake()
	for want, option := range map[string]dibs.FetchOption{
		"ttl_ms: 0 is outside 1 to 31536000000":        dibs.WithTTL(0),
		"ttl_ms: 31536000001 is outside":               dibs.WithTTL(year + time.Millisecond),
		"stale_ms: -1 is outside 0 to 31536000000":     dibs.WithStaleFor(-time.Millisecond),
		"absent_ttl_ms: 0 is outside 1 to 31536000000": dibs.WithAbsentTTL(0),
		"wait_ms: -1 is outside":                       dibs.WithWait(-time.Millisecond),
		"lease_ms: 0 is outside":                       dibs.WithLease(0),
		"tags: 17 is outside 0 to 16":                  dibs.WithTags(make([]string, 17)...),
		"tags[1]: 0 bytes is outside 1 to 256":         dibs.WithTags("a", ""),
	} {
		_, err := fetch(t, fake, func(context.Context) (string, error) {
			t.Errorf("%s: it was rebuilt", want)
			return "", nil
		}, option)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if len(fake.getOrLock.heard()) > 0 {
		t.Error("the service was asked")
	}
}

func TestAValueBeyondTheBoundIsItsCallersAllTheSame(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(lease("token", 10_000))
	fake.publish.will(unpublished(codes.ResourceExhausted, "value: 2000000 bytes is outside 0 to 1048576"))
	told := make(chan error, 1)
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithHooks(dibs.Hooks{
		NotStorable: func(e dibs.NotStorableEvent) { told <- e.Err },
	}))
	value, err := dibs.Fetch(t.Context(), its, "k", returning("large"), ttl)
	want(t, value, err, "large")
	if err := receive(t, "the hook", told); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("told %v", err)
	}
	if message := fake.release.heard()[0].GetFailure().GetMessage(); message != "value: 2000000 bytes is outside 0 to 1048576" {
		t.Errorf("the waiters were told %q", message)
	}
}

func TestAnUnreadableValueIsAMiss(t *testing.T) {
	var told atomic.Int64
	memory := dibstest.New(ttl, dibs.WithHooks(dibs.Hooks{
		Undecodable: func(e dibs.UndecodableEvent) {
			if e.Key == "k" && e.Err != nil {
				told.Add(1)
			}
		},
	}))
	defer memory.Close()
	if _, err := dibs.Fetch(t.Context(), memory.Client, "k", returning("a text")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		value, err := dibs.Fetch(t.Context(), memory.Client, "k", returning(42))
		want(t, value, err, 42)
	}
	if told.Load() != 1 {
		t.Errorf("told %d times", told.Load())
	}
	t.Run("once", func(t *testing.T) {
		fake := startFake(t)
		fake.getOrLock.will(hit("no number"))
		its := client(t, fake.target, dibs.WithSession(false), ttl)
		if _, err := dibs.Fetch(t.Context(), its, "k", returning(42)); err == nil {
			t.Error("it was read")
		}
		requests := fake.getOrLock.heard()
		if len(requests) != 2 || requests[1].GetIntent() != dibsv1.Intent_INTENT_REFRESH {
			t.Errorf("asked %v", requests)
		}
	})
	t.Run("that another caller may have rebuilt", func(t *testing.T) {
		fake := startFake(t)
		rebuilt := leaseOf(&dibsv1.Lease{Token: "token", ExpiresInMs: 10_000, Previous: &dibsv1.Hit{
			Payload: &dibsv1.Hit_Value{Value: []byte("42")}, Freshness: dibsv1.Freshness_FRESHNESS_FRESH, Fence: 5,
		}})
		fake.getOrLock.will(hit("no number"), ok[*dibsv1.GetOrLockRequest](rebuilt))
		its := client(t, fake.target, dibs.WithSession(false), ttl)
		value, err := dibs.Fetch(t.Context(), its, "k", returning(7))
		want(t, value, err, 42)
		if released := fake.release.heard(); len(released) != 1 || released[0].GetFailure() != nil {
			t.Errorf("released %v", released)
		}
	})
}

func TestARebuildSaysHowItsValueIsStored(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(lease("token", 10_000))
	fake.publish.will(published(stored))
	_, err := fetch(t, fake, func(ctx context.Context) (string, error) {
		return "v", dibs.ForValue(ctx, dibs.WithTTL(time.Second), dibs.WithStaleFor(2*time.Second), dibs.WithTags("user:42"))
	}, dibs.WithTags("users"), dibs.WithStaleFor(time.Hour))
	if err != nil {
		t.Error(err)
	}
	if request := fake.publish.heard()[0]; request.GetTtlMs() != 1000 || request.GetStaleMs() != 2000 || fmt.Sprint(request.GetTags()) != "[user:42]" {
		t.Errorf("published %v", request)
	}
	if err := dibs.ForValue(t.Context(), ttl); err == nil {
		t.Error("it was taken outside of a rebuild")
	}
}

func TestAWrongOptionOfAValueTakesItFromNobody(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(lease("token", 10_000))
	told := make(chan error, 1)
	its := client(t, fake.target, ttl, dibs.WithSession(false), dibs.WithHooks(dibs.Hooks{
		NotStorable: func(e dibs.NotStorableEvent) { told <- e.Err },
	}))
	value, err := dibs.Fetch(t.Context(), its, "k", func(ctx context.Context) (string, error) {
		if err := dibs.ForValue(ctx, dibs.WithTTL(0)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
		return "v", nil
	})
	want(t, value, err, "v")
	if err := receive(t, "the hook", told); status.Code(err) != codes.InvalidArgument || len(fake.publish.heard()) != 0 {
		t.Errorf("told %v", err)
	}
}

func TestARebuildMayKeepItsValueFromBeingStored(t *testing.T) {
	fake, its, rebuild, holder := holding(t, hit("theirs"))
	_ = rebuild
	_ = holder
	fake.getOrLock.will(lease("other", 60_000), hit("theirs"))
	begun, enough := make(chan struct{}), make(chan struct{})
	call := behind(func() (string, error) {
		return dibs.Fetch(t.Context(), its, "unstored", func(ctx context.Context) (string, error) {
			close(begun)
			<-enough
			return "mine", dibs.DoNotStore(ctx)
		})
	})
	receive(t, "a rebuild", begun)
	late := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "unstored", returning("never")) })
	joins(t, its, "unstored")
	close(enough)
	got := receive(t, "the value", call)
	want(t, got.value, got.err, "mine")
	got = receive(t, "the other's value", late)
	want(t, got.value, got.err, "theirs")
	if released := fake.release.heard(); len(fake.publish.heard()) != 0 || len(released) != 1 || released[0].GetFailure() != nil {
		t.Errorf("released %v", released)
	}
}

func TestANilPointerIsAbsentAndAnotherKeysAbsenceIsNot(t *testing.T) {
	type user struct{ Name string }
	memory := dibstest.New(ttl)
	defer memory.Close()
	none := func(context.Context) (*user, error) { return nil, nil }
	for range 2 {
		if found, err := dibs.Fetch(t.Context(), memory.Client, "user", none); found != nil || !errors.Is(err, dibs.ErrAbsent) {
			t.Errorf("got %v, %v", found, err)
		}
	}
	_, err := dibs.Fetch(t.Context(), memory.Client, "order", func(ctx context.Context) (string, error) {
		_, err := dibs.Fetch(ctx, memory.Client, "user", none)
		return "", fmt.Errorf("order of a user: %w", err)
	})
	if err == nil || errors.Is(err, dibs.ErrAbsent) || !strings.HasPrefix(err.Error(), "order of a user") {
		t.Errorf("got %v", err)
	}
	value, err := dibs.Fetch(t.Context(), memory.Client, "order", returning("an order"), dibs.WithRefresh())
	want(t, value, err, "an order")
}

func TestAStaleValueInPlaceOfAFailure(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(leaseBeside("token", "old"))
	value, err := fetch(t, fake, failing(errors.New("down")), dibs.WithRevalidate(dibs.RevalidateAwaitElseStale))
	want(t, value, err, "old")
	if message := fake.release.heard()[0].GetFailure().GetMessage(); message != "down" {
		t.Errorf("the waiters were told %q", message)
	}
}

func TestManyKeysAreInvalidatedInPieces(t *testing.T) {
	fake := startFake(t)
	fake.invalidate.will(ok[*dibsv1.InvalidateRequest](&dibsv1.InvalidateResponse{KeysInvalidated: 2, LeasesVoided: 1}))
	its := client(t, fake.target, dibs.WithSession(false))
	if _, err := its.Invalidate(t.Context(), dibs.Invalidation{Keys: []string{}}); err != nil || len(fake.invalidate.heard()) != 0 {
		t.Errorf("nothing is nothing to do: %v", err)
	}
	done, err := its.Invalidate(t.Context(), dibs.Invalidation{Keys: make([]string, 2500), Tags: make([]string, 20)})
	if err != nil || done.Keys != 6 || done.Leases != 3 {
		t.Errorf("%v, %v", done, err)
	}
	requests := fake.invalidate.heard()
	if len(requests) != 3 || len(requests[0].GetKeys()) != 1000 || len(requests[0].GetTags()) != 16 || len(requests[1].GetTags()) != 4 || len(requests[2].GetKeys()) != 500 {
		t.Errorf("asked %d times", len(requests))
	}
}

func TestFlushWaitsForWhatGoesOnBehind(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(leaseBeside("token", "old"))
	fake.publish.will(published(stored))
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}))
	rebuild := newGated()
	value, err := dibs.Fetch(t.Context(), its, "k", rebuild.load, ttl)
	want(t, value, err, "old")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := its.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	rebuild.returns <- fetched[string]{"new", nil}
	if err := its.Flush(t.Context()); err != nil || len(fake.publish.heard()) != 1 {
		t.Errorf("%v, and %d publishes", err, len(fake.publish.heard()))
	}
}

func TestResultsOfLocalRebuildsAreKeptForAMoment(t *testing.T) {
	target := nowhere(t)
	var log bytes.Buffer
	its := client(t, target, ttl, dibs.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	fetch := func(value string, options ...dibs.FetchOption) string {
		got, err := dibs.Fetch(t.Context(), its, "k", returning(value), options...)
		if err != nil {
			t.Error(err)
		}
		return got
	}
	if fetch("first") != "first" || fetch("second") != "first" {
		t.Error("it was rebuilt twice")
	}
	if fetch("third", dibs.WithRefresh()) != "third" || fetch("fourth") != "third" {
		t.Error("a refresh has no newer one")
	}
	if _, err := its.Invalidate(t.Context(), dibs.Invalidation{Keys: []string{"k"}}); err == nil {
		t.Error("an invalidation was not sent")
	}
	if fetch("fifth") != "fifth" {
		t.Error("it was invalidated, and is still used")
	}
	if warned := strings.Count(log.String(), "level=WARN"); warned != 1 {
		t.Errorf("warned %d times", warned)
	}
	startService(t, "DIBS_LISTEN="+target)
	// Where that takes longer than a result is kept, this is rebuilt without the service once more.
	eventually(t, "the service is found", func() bool {
		_ = fetch("the service's")
		return strings.Count(log.String(), "level=WARN") == 2
	})
	if got := fetch("another"); got != "the service's" {
		t.Errorf("the service has %q", got)
	}
}

func TestAValueThatCannotBeReadGivesItsCallerNoSecondWait(t *testing.T) {
	fake := startFake(t)
	late := func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
		time.Sleep(200 * time.Millisecond)
		return hit("no JSON")(ctx, in)
	}
	fake.getOrLock.will(late, lease("token", 10_000))
	fake.publish.will(published(stored))
	its := client(t, fake.target, dibs.WithSession(false), ttl)
	value, err := dibs.Fetch(t.Context(), its, "k", returning("v"), dibs.WithWait(10*time.Second))
	want(t, value, err, "v")
	if waits := fake.getOrLock.heard()[1].GetWaitMs(); waits > 9_800 {
		t.Errorf("it waits for another %d ms", waits)
	}
}
