package dibs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func extended(expiresIn time.Duration) extend {
	return func(context.Context, time.Duration) (*dibsv1.ExtendResponse, error) {
		return &dibsv1.ExtendResponse{
			Outcome:     dibsv1.ExtendOutcome_EXTEND_OUTCOME_EXTENDED,
			ExpiresInMs: expiresIn.Milliseconds(),
		}, nil
	}
}

func unextended(code codes.Code) extend {
	return func(context.Context, time.Duration) (*dibsv1.ExtendResponse, error) {
		return nil, &Error{Code: code, retryAfter: noRetry}
	}
}

func hanging(ctx context.Context, timeout time.Duration) (*dibsv1.ExtendResponse, error) {
	pause(ctx, timeout)
	return nil, &Error{Code: codes.DeadlineExceeded, retryAfter: noRetry}
}

// heldMax is how long the leases of these tests may be extended in all.
const heldMax = 2 * time.Hour

// kept runs the keeper of a lease of 3 s with these answers, of which the last one stays; it says when each was asked
// for, and when the lease was lost, if it was within a minute.
func kept(t *testing.T, answers ...extend) (asked []time.Duration, lostAt time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		lost := keepLease(ctx, start, 3*time.Second, heldMax, func(ctx context.Context, timeout time.Duration) (*dibsv1.ExtendResponse, error) {
			asked = append(asked, time.Since(start))
			next := answers[min(len(asked), len(answers))-1]
			return next(ctx, timeout)
		})
		if lost {
			lostAt = time.Since(start)
		}
	})
	return asked, lostAt
}

func TestALeaseIsExtendedEveryThirdOfWhatIsLeft(t *testing.T) {
	asked, lostAt := kept(t, extended(3*time.Second), extended(6*time.Second))
	if asked[0] != time.Second || asked[1] != 2*time.Second || asked[2] != 4*time.Second || lostAt != 0 {
		t.Errorf("asked after %v, lost after %v", asked, lostAt)
	}
}

func TestALeaseIsLostWhenTheServiceSaysSo(t *testing.T) {
	lost := func(context.Context, time.Duration) (*dibsv1.ExtendResponse, error) {
		return &dibsv1.ExtendResponse{Outcome: dibsv1.ExtendOutcome_EXTEND_OUTCOME_LOST}, nil
	}
	if asked, lostAt := kept(t, lost); len(asked) != 1 || lostAt != time.Second {
		t.Errorf("asked after %v, lost after %v", asked, lostAt)
	}
	if _, lostAt := kept(t, unextended(codes.InvalidArgument)); lostAt != time.Second {
		t.Errorf("refused, and lost after %v", lostAt)
	}
}

func TestNotAnsweredIsNotLostBeforeItsTime(t *testing.T) {
	asked, lostAt := kept(t, unextended(codes.Unavailable))
	if len(asked) < 3 || lostAt != 3*time.Second {
		t.Errorf("asked after %v, lost after %v", asked, lostAt)
	}
	if _, lostAt := kept(t, unextended(codes.Unavailable), unextended(codes.Unavailable), extended(time.Hour)); lostAt != 0 {
		t.Errorf("lost after %v, although the third try was answered", lostAt)
	}
}

func TestATryThatHangsEndsWithTheLease(t *testing.T) {
	if asked, lostAt := kept(t, hanging); len(asked) != 1 || lostAt != 3*time.Second {
		t.Errorf("asked after %v, lost after %v", asked, lostAt)
	}
}

func TestAnOutcomeOfALaterServiceChangesNothing(t *testing.T) {
	later := func(context.Context, time.Duration) (*dibsv1.ExtendResponse, error) {
		return &dibsv1.ExtendResponse{Outcome: 99}, nil
	}
	if _, lostAt := kept(t, later); lostAt != 3*time.Second {
		t.Errorf("lost after %v", lostAt)
	}
}

// The request may also have waited for its lease at the service. The answer decides.
func TestALeaseThatMayBeOverIsExtendedAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		first  extend
		lostAt time.Duration
	}{
		"and is held on, as the service says": {extended(time.Hour), 0},
		"and is lost without an answer":       {unextended(codes.Unavailable), extendMax},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, asked := time.Now(), []time.Duration{}
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				lost := keepLease(ctx, start.Add(-20*time.Second), 3*time.Second, heldMax, func(context.Context, time.Duration) (*dibsv1.ExtendResponse, error) {
					asked = append(asked, time.Since(start))
					return test.first(t.Context(), 0)
				})
				if took := time.Since(start); asked[0] != 0 || lost != (test.lostAt > 0) || (lost && took != test.lostAt) {
					t.Errorf("asked after %v, lost %v after %v", asked, lost, took)
				}
			})
		})
	}
}

func TestALeaseIsNotExtendedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, asked := time.Now(), 0
		lost := keepLease(t.Context(), start, 3*time.Second, 10*time.Second, func(context.Context, time.Duration) (*dibsv1.ExtendResponse, error) {
			asked++
			return extended(3*time.Second)(t.Context(), 0)
		})
		if took := time.Since(start); !lost || took != 10*time.Second || asked != 9 {
			t.Errorf("lost %v after %v and %d extensions", lost, took, asked)
		}
	})
}

func TestAnExtensionOverTwoTransportsEndsWithTheLease(t *testing.T) {
	twice := func(ctx context.Context, timeout time.Duration) (*dibsv1.ExtendResponse, error) {
		_, _ = hanging(ctx, timeout)
		return hanging(ctx, timeout)
	}
	if _, lostAt := kept(t, twice); lostAt != 3*time.Second {
		t.Errorf("lost after %v", lostAt)
	}
}
