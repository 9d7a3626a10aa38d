package dibs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// gated is a rebuild that says when it runs, and returns what it is told to.
type gated struct {
	begun   chan struct{}
	returns chan fetched[string]
}

func newGated() *gated {
	return &gated{begun: make(chan struct{}, 10), returns: make(chan fetched[string])}
}

func (g *gated) load(ctx context.Context) (string, error) {
	g.begun <- struct{}{}
	select {
	case got := <-g.returns:
		return got.value, got.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// holding is a fake whose first question is answered with a lease, and the next ones as said; a rebuild runs under it.
func holding(t *testing.T, next ...asked) (*fakeService, *dibs.Client, *gated, <-chan fetched[string]) {
	t.Helper()
	fake := startFake(t)
	fake.getOrLock.will(append([]asked{lease("token", 60_000)}, next...)...)
	fake.publish.will(publishedCounting(stored, proto.Bool(true)))
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), ttl)
	rebuild := newGated()
	holder := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", rebuild.load) })
	receive(t, "a rebuild", rebuild.begun)
	return fake, its, rebuild, holder
}

// joins waits until a second caller waits for the key.
func joins(t *testing.T, its *dibs.Client, key string) {
	t.Helper()
	eventually(t, "another caller has joined", func() bool { return dibs.CallersOf(its, key) == 2 })
}

func publishedCounting(outcome dibsv1.PublishOutcome, counts *bool) answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse] {
	return ok[*dibsv1.PublishRequest](&dibsv1.PublishResponse{Outcome: outcome, Fence: 4, Counts: counts})
}

func TestACallerThatJoinsARebuildIsToldBusyInTime(t *testing.T) {
	fake, its, rebuild, holder := holding(t)
	for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
		_, err := dibs.Fetch(t.Context(), its, "k", returning("mine"), dibs.WithWait(wait))
		var busy *dibs.BusyError
		if !errors.As(err, &busy) || busy.Reason != dibs.BusyWaitEnded {
			t.Errorf("got %v", err)
		}
	}
	ctx, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer leave()
	if _, err := dibs.Fetch(ctx, its, "k", returning("mine")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	rebuild.returns <- fetched[string]{"v", nil}
	got := receive(t, "the value", holder)
	want(t, got.value, got.err, "v")
	if asked := len(fake.getOrLock.heard()); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestACallerThatJoinedARebuildHasWhatCounts(t *testing.T) {
	for name, test := range map[string]struct {
		outcome dibsv1.PublishOutcome
		counts  *bool
		want    string
	}{
		"stored":              {stored, proto.Bool(true), "mine"},
		"stored already":      {dibsv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE, proto.Bool(true), "mine"},
		"stored, and is void": {stored, proto.Bool(false), "theirs"},
		"of an older service": {stored, nil, "theirs"},
		"invalidated":         {dibsv1.PublishOutcome_PUBLISH_OUTCOME_INVALIDATED, nil, "theirs"},
		"not stored":          {dibsv1.PublishOutcome_PUBLISH_OUTCOME_NOT_STORED, nil, "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, its, rebuild, holder := holding(t, hit("theirs"))
			fake.publish.will(publishedCounting(test.outcome, test.counts))
			late := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", returning("never")) })
			joins(t, its, "k")
			rebuild.returns <- fetched[string]{"mine", nil}
			got := receive(t, "the holder's value", holder)
			want(t, got.value, got.err, "mine")
			got = receive(t, "the other's value", late)
			want(t, got.value, got.err, test.want)
		})
	}
}

func TestACallerThatComesWhileAResultIsHandedOverAsks(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(lease("token", 60_000), hit("theirs"))
	onFake(t, fake, func(t *testing.T, its *dibs.Client) {
		handingOver, enough := make(chan struct{}, 10), make(chan struct{})
		defer close(enough)
		fake.publish.will(func(ctx context.Context, in *dibsv1.PublishRequest) (*dibsv1.PublishResponse, error) {
			handingOver <- struct{}{}
			<-enough
			return publishedCounting(stored, proto.Bool(true))(ctx, in)
		})
		holder := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", returning("mine")) })
		receive(t, "a publish", handingOver)
		// One that joined would be told Busy.
		value, err := dibs.Fetch(t.Context(), its, "k", returning("never"), dibs.WithWait(0))
		want(t, value, err, "theirs")
		enough <- struct{}{}
		got := receive(t, "the holder's value", holder)
		want(t, got.value, got.err, "mine")
	}, dibs.WithCodec(raw{}))
}

func TestAFailureIsSharedWithThoseWhoCameLaterOnlyWhereAllHearOfIt(t *testing.T) {
	down := errors.New("down")
	for _, isHeld := range []bool{true, false} {
		fake, its, rebuild, holder := holding(t, hit("theirs"))
		if !isHeld {
			fake.release.will(ok[*dibsv1.ReleaseRequest](&dibsv1.ReleaseResponse{Outcome: dibsv1.ReleaseOutcome_RELEASE_OUTCOME_NOT_HELD}))
		}
		late := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", returning("never")) })
		joins(t, its, "k")
		rebuild.returns <- fetched[string]{"", down}
		if got := receive(t, "the holder's error", holder); got.err != down {
			t.Errorf("got %v", got.err)
		}
		got := receive(t, "the other's end", late)
		if isHeld && got.err != down || !isHeld && got.value != "theirs" {
			t.Errorf("held %v: got %q, %v", isHeld, got.value, got.err)
		}
	}
}

func TestAfterOnesOwnInvalidationNoRebuildFromBeforeIsJoined(t *testing.T) {
	for name, test := range map[string]struct {
		what  dibs.Invalidation
		fails bool
		want  string
	}{
		"of the key":             {dibs.Invalidation{Keys: []string{"k"}}, false, "new"},
		"of a tag":               {dibs.Invalidation{Tags: []string{"x"}}, false, "new"},
		"of all":                 {dibs.Invalidation{All: true}, false, "new"},
		"also where it failed":   {dibs.Invalidation{Keys: []string{"k"}}, true, "new"},
		"but of another key yes": {dibs.Invalidation{Keys: []string{"other"}}, false, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, its, rebuild, holder := holding(t, hit("new"))
			fake.invalidate.will(ok[*dibsv1.InvalidateRequest](&dibsv1.InvalidateResponse{}))
			if test.fails {
				fake.invalidate.will(refuses[*dibsv1.InvalidateRequest, *dibsv1.InvalidateResponse](codes.Unavailable, "gone", -1))
			}
			if _, err := its.Invalidate(t.Context(), test.what); (err != nil) != test.fails {
				t.Errorf("got %v", err)
			}
			call := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", returning("never")) })
			if test.want == "new" {
				got := receive(t, "the value", call)
				want(t, got.value, got.err, "new")
			} else {
				joins(t, its, "k")
			}
			rebuild.returns <- fetched[string]{"old", nil}
			got := receive(t, "the value of the holder, who was there before", holder)
			want(t, got.value, got.err, "old")
			if test.want == "old" {
				got = receive(t, "the value", call)
				want(t, got.value, got.err, "old")
			}
		})
	}
}

func TestCallersThatWantWhatIsNewerDoNotJoinARebuild(t *testing.T) {
	for name, option := range map[string]dibs.FetchOption{"store": dibs.WithRead(dibs.ReadStore), "refresh": dibs.WithRefresh()} {
		t.Run(name, func(t *testing.T) {
			_, its, rebuild, holder := holding(t, hit("newer"))
			value, err := dibs.Fetch(t.Context(), its, "k", returning("never"), option)
			want(t, value, err, "newer")
			rebuild.returns <- fetched[string]{"v", nil}
			receive(t, "the end", holder)
		})
	}
}

func TestACallerThatAcceptsAStaleValueHasItAtOnce(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(leaseBeside("token", "old"), hit("old"))
	fake.publish.will(publishedCounting(stored, proto.Bool(true)))
	onFake(t, fake, func(t *testing.T, its *dibs.Client) {
		rebuild := newGated()
		for range 2 {
			value, err := dibs.Fetch(t.Context(), its, "k", rebuild.load)
			want(t, value, err, "old")
		}
		receive(t, "a rebuild", rebuild.begun)
		insists := behind(func() (string, error) {
			return dibs.Fetch(t.Context(), its, "k", returning("never"), dibs.WithStale(dibs.StaleForbid))
		})
		// Nothing counts who joins a rebuild behind a stale value.
		synctest.Wait()
		rebuild.returns <- fetched[string]{"new", nil}
		got := receive(t, "the new value", insists)
		want(t, got.value, got.err, "new")
	}, dibs.WithCodec(raw{}))
}

func TestARebuildThatAsksForItsOwnKeyFailsAtOnce(t *testing.T) {
	its := client(t, startService(t).target, ttl)
	var directly, through func(context.Context) (string, error)
	directly = func(ctx context.Context) (string, error) { return dibs.Fetch(ctx, its, "A", directly) }
	through = func(ctx context.Context) (string, error) {
		return dibs.Fetch(ctx, its, "B", func(ctx context.Context) (string, error) { return dibs.Fetch(ctx, its, "C", through) })
	}
	for key, rebuild := range map[string]func(context.Context) (string, error){"A": directly, "C": through} {
		_, err := dibs.Fetch(t.Context(), its, key, rebuild)
		var reentrant *dibs.ReentrantRebuildError
		if !errors.As(err, &reentrant) || reentrant.Error() != `dibs: the rebuild of "`+key+`" asks for "`+key+`" itself` {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

func TestALateJoinerOfALostLeaseAsksAgainAtOnce(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(lease("token", 300), hit("theirs"))
	fake.extend.will(ok[*dibsv1.ExtendRequest](&dibsv1.ExtendResponse{Outcome: dibsv1.ExtendOutcome_EXTEND_OUTCOME_LOST}))
	its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}), ttl)
	hung := make(chan struct{})
	defer close(hung)
	var begun atomic.Bool
	fetch := func() (string, error) {
		return dibs.Fetch(t.Context(), its, "k", func(context.Context) (string, error) {
			begun.Store(true)
			<-hung
			return "never", nil
		})
	}
	holder := behind(fetch)
	eventually(t, "a rebuild", begun.Load)
	late := behind(fetch)
	for _, call := range []<-chan fetched[string]{holder, late} {
		got := receive(t, "the value", call)
		want(t, got.value, got.err, "theirs")
	}
}

func TestALongWaitIsAskedForInPieces(t *testing.T) {
	fake := newFake()
	slow := func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
		time.Sleep(600 * time.Millisecond)
		return busy(dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED, 20_000)(ctx, in)
	}
	fake.getOrLock.will(slow, hit("v"))
	value, err := fetch(t, fake, returning(""), dibs.WithWait(time.Hour))
	want(t, value, err, "v")
	for _, request := range fake.getOrLock.heard() {
		if request.WaitMs != nil {
			t.Errorf("asked for a wait of %d ms", request.GetWaitMs())
		}
	}
	fake = newFake()
	refused := refuses[*dibsv1.GetOrLockRequest, *dibsv1.GetOrLockResponse](codes.InvalidArgument, "wait_ms: 20000 is outside 0 to 5000", -1)
	fake.getOrLock.will(refused, slow, refused, slow, hit("v"))
	value, err = fetch(t, fake, returning(""), dibs.WithWait(20*time.Second))
	want(t, value, err, "v")
	if requests := fake.getOrLock.heard(); len(requests) != 5 || requests[0].WaitMs == nil || requests[1].WaitMs != nil || requests[2].WaitMs == nil {
		t.Errorf("asked %v", requests)
	}
}

func TestALongWaitOutlastsARebuildThatTakesLongerThanAPiece(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(busy(dibsv1.BusyReason_BUSY_REASON_DEADLINE_TOO_SHORT, 40_000), hit("v"))
	value, err := fetch(t, fake, returning(""), dibs.WithWait(time.Minute))
	want(t, value, err, "v")
}

func TestANegativeWaitIsRefused(t *testing.T) {
	_, err := fetch(t, newFake(), returning(""), dibs.WithWait(-time.Millisecond))
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
}
