package dibs_test

import (
	"context"
	"errors"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

var ttl = dibs.WithTTL(time.Minute)

// raw reads and writes texts as they are, so that the fake's values need no quotes.
type raw struct{}

func (raw) Marshal(value any) ([]byte, error) { return []byte(value.(string)), nil }
func (raw) Unmarshal(data []byte, into any) error {
	*into.(*string) = string(data)
	return nil
}

// fetch asks the fake by unary calls, in fake time. A rebuild must not wait for what the test does afterwards.
func fetch(t *testing.T, fake *fakeService, rebuild func(context.Context) (string, error), options ...dibs.FetchOption) (value string, err error) {
	t.Helper()
	onFake(t, fake, func(t *testing.T, its *dibs.Client) {
		value, err = dibs.Fetch(t.Context(), its, "k", rebuild, options...)
	}, dibs.WithCodec(raw{}))
	return value, err
}

func TestAskingSaysWhatTheCallerSays(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(func(ctx context.Context, _ *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
		if got := identity(ctx).Get("traceparent"); len(got) != 1 || got[0] != "00-trace" {
			t.Errorf("traceparent: %v", got)
		}
		if got := identity(ctx).Get("authorization"); len(got) != 1 || got[0] != "Bearer secret" {
			t.Errorf("authorization: %v", got)
		}
		deadline, _ := ctx.Deadline()
		if left := time.Until(deadline); left != 3*time.Second {
			t.Errorf("the deadline is %v away, and not the wait and 2 s", left)
		}
		return hit("v")(ctx, nil)
	})
	onFake(t, fake, func(t *testing.T, its *dibs.Client) {
		value, err := dibs.Fetch(t.Context(), its, "k", returning(""), dibs.WithWait(time.Second), dibs.WithLease(2*time.Second),
			dibs.WithStale(dibs.StaleForbid), dibs.WithRead(dibs.ReadStore), dibs.WithRefresh(), dibs.WithTraceparent("00-trace"))
		want(t, value, err, "v")
	}, dibs.WithCodec(raw{}), dibs.WithToken("secret"), dibs.WithHolder("me"), dibs.WithNamespace("n"))
	request := fake.getOrLock.heard()[0]
	if request.GetNamespace() != "n" || request.GetKey() != "k" || request.GetHolder() != "me" || request.GetLeaseMs() != 2000 ||
		request.GetWaitMs() != 1000 || request.GetIntent() != dibsv1.Intent_INTENT_REFRESH ||
		request.GetStale() != dibs.StaleForbid || request.GetRead() != dibs.ReadStore {
		t.Errorf("the service was asked %v", request)
	}
	if uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`); !uuid.MatchString(request.GetRequestId()) {
		t.Errorf("%s is no UUID", request.GetRequestId())
	}
}

func TestWithoutAWaitTheServiceBoundsIt(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(hit("v"))
	value, err := fetch(t, fake, returning(""))
	want(t, value, err, "v")
	if request := fake.getOrLock.heard()[0]; request.WaitMs != nil || request.LeaseMs != nil {
		t.Errorf("the service was asked %v", request)
	}
}

func TestBusyComesBackAsTheSameCall(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(busy(dibsv1.BusyReason_BUSY_REASON_BUDGET, 1), busy(dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED, 1), hit("v"))
	value, err := fetch(t, fake, returning(""))
	want(t, value, err, "v")
	requests := fake.getOrLock.heard()
	if len(requests) != 3 || requests[0].GetRequestId() != requests[2].GetRequestId() {
		t.Errorf("asked %v", requests)
	}
}

func TestBusyEndsTheCall(t *testing.T) {
	tests := map[string]struct {
		reason dibsv1.BusyReason
		wait   time.Duration
		want   dibs.BusyReason
	}{
		"when the wait would be over":      {dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED, 100 * time.Millisecond, dibs.BusyWaitEnded},
		"when it does not want to wait":    {dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED, 0, dibs.BusyWaitEnded},
		"when the rebuild takes longer":    {dibsv1.BusyReason_BUSY_REASON_DEADLINE_TOO_SHORT, 20 * time.Second, dibs.BusyDeadlineTooShort},
		"when there is nothing":            {dibsv1.BusyReason_BUSY_REASON_NO_VALUE, time.Minute, dibs.BusyNoValue},
		"for a reason of a later service":  {77, 0, dibs.BusyUnspecified},
		"for a reason that is left unsaid": {0, 0, dibs.BusyUnspecified},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.getOrLock.will(busy(test.reason, 5000))
			_, err := fetch(t, fake, returning(""), dibs.WithWait(test.wait))
			var busy *dibs.BusyError
			if !errors.As(err, &busy) || busy.Reason != test.want || busy.RetryAfter() != 5*time.Second || busy.HolderAge != 7*time.Millisecond {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnOutcomeOfALaterServiceIsBusy(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(ok[*dibsv1.GetOrLockRequest](&dibsv1.GetOrLockResponse{Degraded: 99}))
	_, err := fetch(t, fake, returning(""), dibs.WithWait(50*time.Millisecond))
	var busy *dibs.BusyError
	if !errors.As(err, &busy) || busy.Reason != dibs.BusyUnspecified {
		t.Errorf("got %v", err)
	}
	if asked := len(fake.getOrLock.heard()); asked < 3 || asked > 5 {
		t.Errorf("asked %d times", asked)
	}
}

func TestAnotherCallersFailureIsAnErrorOfItsOwn(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(failed("the source is down", 1500))
	_, err := fetch(t, fake, returning(""))
	var failure *dibs.RebuildFailedError
	if !errors.As(err, &failure) || failure.Message != "the source is down" || failure.RetryAfter() != 1500*time.Millisecond {
		t.Errorf("got %v", err)
	}
}

func TestErrorsOfTheService(t *testing.T) {
	refuse := refuses[*dibsv1.GetOrLockRequest, *dibsv1.GetOrLockResponse]
	t.Run("with a hint come back", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(refuse(codes.ResourceExhausted, "key: too many", 1), unavailable(1), unavailable(1), hit("v"))
		value, err := fetch(t, fake, returning(""))
		want(t, value, err, "v")
	})
	t.Run("with a hint beyond the wait are errors", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(refuse(codes.ResourceExhausted, "key: too many", 60_000))
		_, err := fetch(t, fake, returning(""), dibs.WithWait(time.Second))
		var refused *dibs.Error
		if !errors.As(err, &refused) || refused.Code != codes.ResourceExhausted || refused.RetryAfter() != time.Minute {
			t.Errorf("got %v", err)
		}
	})
	for _, code := range []codes.Code{codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.Internal, codes.ResourceExhausted} {
		t.Run("of the caller are errors at once: "+code.String(), func(t *testing.T) {
			fake := newFake()
			fake.getOrLock.will(refuse(code, "key: no", -1))
			_, err := fetch(t, fake, returning(""))
			var refused *dibs.Error
			if !errors.As(err, &refused) || refused.Code != code || refused.Message != "key: no" || refused.RetryAfter() >= 0 {
				t.Errorf("got %v", err)
			}
			if status.Code(err) != code {
				t.Errorf("gRPC reads it as %v", status.Code(err))
			}
		})
	}
}

func TestAReplicaThatBreaksOffIsAskedOnceMore(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(unavailable(-1), hit("v"))
	value, err := fetch(t, fake, returning(""))
	want(t, value, err, "v")
	if requests := fake.getOrLock.heard(); requests[0].GetRequestId() != requests[1].GetRequestId() {
		t.Error("it was another call")
	}
}

func TestWithoutAService(t *testing.T) {
	t.Run("this process rebuilds once at a time", func(t *testing.T) {
		for _, session := range []bool{true, false} {
			var rebuilds, told atomic.Int64
			its := client(t, nowhere(t), dibs.WithSession(session), dibs.WithHooks(dibs.Hooks{
				LocalRebuild: func(e dibs.LocalRebuildEvent) {
					if e.Key == "k" && e.Cause != nil {
						told.Add(1)
					}
				},
			}))
			enough := make(chan struct{})
			var calls []<-chan fetched[string]
			// Calls with different options do not join before they know that the service is away.
			for at := range 4 {
				calls = append(calls, behind(func() (string, error) {
					return dibs.Fetch(t.Context(), its, "k", func(ctx context.Context) (string, error) {
						rebuilds.Add(1)
						if lease := dibs.LeaseFrom(ctx); lease.Reason != "local" || lease.Fence != 0 {
							t.Errorf("told %v", lease)
						}
						<-enough
						return "v", nil
					}, ttl, dibs.WithWait(time.Duration(at+1)*time.Minute))
				}))
			}
			eventually(t, "a rebuild", func() bool { return rebuilds.Load() > 0 })
			time.Sleep(100 * time.Millisecond)
			close(enough)
			for _, call := range calls {
				got := receive(t, "the value", call)
				want(t, got.value, got.err, "v")
			}
			if rebuilds.Load() != 1 || told.Load() != 1 {
				t.Errorf("%d rebuilds, told of %d", rebuilds.Load(), told.Load())
			}
		}
	})
	t.Run("its own failure and absence come through", func(t *testing.T) {
		its := client(t, nowhere(t))
		down := errors.New("down")
		if _, err := dibs.Fetch(t.Context(), its, "k", failing(down), ttl); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
		if _, err := dibs.Fetch(t.Context(), its, "k", failing(dibs.ErrAbsent), ttl); !errors.Is(err, dibs.ErrAbsent) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("or it fails", func(t *testing.T) {
		its := client(t, nowhere(t), dibs.WithOnUnavailable(dibs.OnUnavailableFail))
		_, err := dibs.Fetch(t.Context(), its, "k", returning("v"), ttl)
		if status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a deadline that passes unanswered counts as that", func(t *testing.T) {
		fake := newFake()
		fake.getOrLock.will(hangs)
		value, err := fetch(t, fake, returning("v"), dibs.WithWait(0))
		want(t, value, err, "v")
	})
}

func TestACallerThatLeaves(t *testing.T) {
	t.Run("is answered at once, and leaves the service's queue", func(t *testing.T) {
		fake := startFake(t)
		left := make(chan struct{})
		fake.getOrLock.will(func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
			defer close(left)
			return hangs[*dibsv1.GetOrLockRequest, *dibsv1.GetOrLockResponse](ctx, in)
		})
		ctx, cancel := context.WithCancel(t.Context())
		its := client(t, fake.target, dibs.WithSession(false))
		call := behind(func() (string, error) { return dibs.Fetch(ctx, its, "k", returning("v"), ttl) })
		eventually(t, "a question", func() bool { return len(fake.getOrLock.heard()) == 1 })
		cancel()
		if got := receive(t, "the end", call); !errors.Is(got.err, context.Canceled) {
			t.Errorf("got %v", got.err)
		}
		receive(t, "the service hears of it", left)
	})
	t.Run("is told why, beside that it was so", func(t *testing.T) {
		why := errors.New("the request was withdrawn")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		_, err := dibs.Fetch(ctx, client(t, nowhere(t)), "k", returning("v"), ttl)
		if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by its deadline takes nothing from the others", func(t *testing.T) {
		fake := startFake(t)
		enough := make(chan struct{})
		fake.getOrLock.will(func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
			<-enough
			return hit("v")(ctx, in)
		})
		its := client(t, fake.target, dibs.WithSession(false), dibs.WithCodec(raw{}))
		stays := behind(func() (string, error) { return dibs.Fetch(t.Context(), its, "k", returning(""), ttl) })
		eventually(t, "a question", func() bool { return len(fake.getOrLock.heard()) == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := dibs.Fetch(ctx, its, "k", returning(""), ttl); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(enough)
		got := receive(t, "the value", stays)
		want(t, got.value, got.err, "v")
	})
}
